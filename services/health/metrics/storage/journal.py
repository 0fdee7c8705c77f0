"""The file of a segment: what is measured is appended to it at once, so that it outlives its process.

A record is its length, its CRC-32, its kind and its content. The first one that is cut short or damaged ends the file.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import STALE
from services.health.metrics.storage.columns import Column, Columns, Pairs
from services.health.metrics.storage.segment import Segment

_HEADER = struct.Struct("<IIB")
_ROW = struct.Struct("<IdI")
_COLUMNS_RECORD, _ROW_RECORD = 1, 2
_MAX_RECORD_BYTES = 256 << 20
_BROKEN = (ValueError, LookupError, TypeError, struct.error, zlib.error)


class Journal:
    """Writes a new file. Each target's first row is whole, later ones say what has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[Columns, _Written] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._file: IO[bytes] | None = None

    @property
    def waiting_bytes(self) -> int:
        """What is yet to be written out."""
        return self._waiting_bytes

    def append(self, columns: Columns, time_s: float, values: NDArray[np.float64]) -> None:
        """Note a row; `write_out` writes it."""
        written = self._known.get(columns)
        if written is None:
            written = self._known[columns] = _Written(len(self._known))
        if written.columns < len(columns):
            self._put(_COLUMNS_RECORD, _encode_columns(written, columns))
            written.columns = len(columns)
        self._put(_ROW_RECORD, _encode_row(written, time_s, values))

    def take(self) -> bytes:
        """What waits, to be given to `write_out`."""
        taken, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        return taken

    def write_out(self, content: bytes) -> None:
        """Append to the file; may block. Raises OSError."""
        if self._file is None:
            self._file = self.path.open("ab")
        self._file.write(content)
        self._file.flush()

    def close(self) -> None:
        """Close the file. What the disk has refused is tried once more, and then given up."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _put(self, kind: int, content: bytes) -> None:
        record = _HEADER.pack(len(content), zlib.crc32(content), kind) + content
        self._waiting.append(record)
        self._waiting_bytes += len(record)


class _Written:
    """What of a target is in the file already."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.columns = 0
        self.bits = np.empty(0, np.uint64)
        """Of its last row."""


def read_journal(path: Path, known: dict[Pairs, Pairs]) -> Segment:
    """The segment that a file holds, up to where it is damaged. `known` keeps equal labels from being kept twice.

    Raises OSError.
    """
    segment, targets = Segment(path), dict[int, Columns]()
    rows: dict[int, NDArray[np.uint64]] = {}
    for kind, content in _records(path.read_bytes()):
        try:
            if kind == _COLUMNS_RECORD:
                _decode_columns(content, targets, known)
            else:
                number, time_s, values = _decode_row(content, rows)
                segment.track(targets[number]).append(time_s, values)
        except _BROKEN:
            break
    return segment


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _HEADER.size <= len(content):
        size, checksum, kind = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        record = content[position : position + size]
        if size > _MAX_RECORD_BYTES or len(record) < size or zlib.crc32(record) != checksum:
            return
        yield kind, record
        position += size


def _encode_columns(written: _Written, columns: Columns) -> bytes:
    new = [[column.pairs, column.is_counter] for column in columns.columns[written.columns :]]
    return zlib.compress(json.dumps([written.number, columns.common, new], ensure_ascii=False).encode())


def _decode_columns(content: bytes, targets: dict[int, Columns], known: dict[Pairs, Pairs]) -> None:
    number, common, new = json.loads(zlib.decompress(content))
    columns = targets.setdefault(number, Columns(common))
    for listed, is_counter in new:
        pairs = tuple((str(name), str(value)) for name, value in listed)
        columns.add(Column(known.setdefault(pairs, pairs), bool(is_counter)))


def _encode_row(written: _Written, time_s: float, values: NDArray[np.float64]) -> bytes:
    bits, before = values.view(np.uint64), written.bits
    changed = np.ones(len(bits), bool)
    both = min(len(bits), len(before))
    changed[:both] = bits[:both] != before[:both]
    written.bits = bits.copy()
    moved = bits[changed].view(np.uint8).reshape(-1, 8).T  # bytes of equal weight together pack better
    packed = zlib.compress(np.packbits(changed).tobytes() + moved.tobytes(), 1)
    return _ROW.pack(written.number, time_s, len(bits)) + packed


def _decode_row(content: bytes, rows: dict[int, NDArray[np.uint64]]) -> tuple[int, float, NDArray[np.float64]]:
    number, time_s, width = _ROW.unpack_from(content)
    packed = np.frombuffer(zlib.decompress(content[_ROW.size :]), np.uint8)
    mask_bytes = (width + 7) // 8
    changed = np.unpackbits(packed[:mask_bytes], count=width).view(bool)
    moved = np.ascontiguousarray(packed[mask_bytes:].reshape(8, -1).T).reshape(-1).view(np.uint64)
    row = np.full(width, STALE).view(np.uint64)
    before = rows.get(number, np.empty(0, np.uint64))[:width]
    row[: len(before)] = before
    row[changed] = moved
    rows[number] = row
    return number, time_s, row.view(np.float64)
