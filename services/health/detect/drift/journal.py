"""What was heard since the tallies were last saved: written down at once, so that it outlives its process."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lepton_ai.v1 import feedback_pb2

_HEADER = struct.Struct("<IId")
"""Bytes of the content, its CRC-32, when it was heard."""
Heard = tuple[float, Sequence[feedback_pb2.RememberedPredictions]]


class Journal:
    """A file that is appended to. What `append` has returned for survives a kill -9, not a power cut."""

    def __init__(self, path: Path) -> None:
        """Go on with it after its last whole record, or make it. Raises OSError."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.size_bytes = sum(_HEADER.size + len(content) for _, content in self._records())
        os.truncate(self._file, self.size_bytes)

    def heard(self) -> Iterator[Heard]:
        """What is written in it, in order."""
        for at_s, content in self._records():
            yield at_s, feedback_pb2.RememberPredictionsRequest.FromString(content).versions

    def append(self, batches: Sequence[feedback_pb2.RememberedPredictions], at_s: float) -> None:
        """Write down what was heard, but for ids and users. Raises OSError, and then nothing of it is there."""
        content = feedback_pb2.RememberPredictionsRequest(versions=map(_counted, batches)).SerializeToString()
        record = _HEADER.pack(len(content), zlib.crc32(content), at_s) + content
        try:
            written = os.pwrite(self._file, record, self.size_bytes)
        except OSError:
            os.truncate(self._file, self.size_bytes)
            raise
        if written < len(record):
            os.truncate(self._file, self.size_bytes)
            raise OSError(f"only {written} of {len(record)} bytes were written")
        self.size_bytes += written

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._file)

    def _records(self) -> Iterator[tuple[float, bytes]]:
        """When, and what; until the first record that is cut short or damaged."""
        place = 0
        while len(header := os.pread(self._file, _HEADER.size, place)) == _HEADER.size:
            size, checksum, at_s = _HEADER.unpack(header)
            content = os.pread(self._file, size, place + _HEADER.size)
            if len(content) < size or zlib.crc32(content) != checksum:
                return
            yield at_s, content
            place += _HEADER.size + size


def _counted(batch: feedback_pb2.RememberedPredictions) -> feedback_pb2.RememberedPredictions:
    return feedback_pb2.RememberedPredictions(
        model=batch.model,
        version=batch.version,
        items=batch.items,
        names=batch.names,
        labels=batch.labels,
        values=batch.values,
    )
