"""Receives the files of one push: hashed while they are written, bounded by what the manifest declares."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

from lepton_ai.errors import InvalidInput
from lepton_ai.v1 import registry_pb2

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Upload:
    """The files of one manifest, gathered in a staging directory that nobody else uses."""

    def __init__(self, manifest: registry_pb2.Manifest, directory: Path) -> None:
        self._sizes = {file.sha256: file.size_bytes for file in manifest.files}
        self._fields = {file.sha256: f"manifest.files[{index}]" for index, file in enumerate(manifest.files)}
        self._incoming = directory / "incoming"
        self._incoming.mkdir()
        self._current: _Incoming | None = None
        self._received: set[str] = set()

    @property
    def received(self) -> frozenset[str]:
        """Hashes of the files that have arrived whole."""
        return frozenset(self._received)

    async def add(self, chunk: registry_pb2.FileChunk) -> None:
        """Write a chunk. Raises InvalidInput for one that the manifest does not announce or that is out of place."""
        if chunk.sha256 not in self._sizes:
            raise InvalidInput.of_field("chunk.sha256", "is not a file of the manifest", reason="UNDECLARED_FILE")
        if self._current is None or self._current.sha256 != chunk.sha256:
            self.finish()
            self._current = self._begin(chunk.sha256)
        current = self._current
        if not chunk.data and current.size_bytes:
            raise InvalidInput.of_field("chunk.data", "is empty")
        if current.written + len(chunk.data) > current.size_bytes:
            raise self._wrong_size(current.sha256, "more")
        await asyncio.to_thread(current.write, chunk.data)

    def finish(self) -> None:
        """End the file that is being received. Raises InvalidInput unless it is what the manifest declares."""
        current, self._current = self._current, None
        if current is None:
            return
        current.file.close()
        if current.written < current.size_bytes:
            raise self._wrong_size(current.sha256, "less")
        if current.digest.hexdigest() != current.sha256:
            field = f"{self._fields[current.sha256]}.sha256"
            raise InvalidInput.of_field(field, "is not the hash of what was uploaded", reason="HASH_MISMATCH")
        self._received.add(current.sha256)

    def take_empty_file(self) -> None:
        """An empty file needs no chunk."""
        if _EMPTY_SHA256 in self._sizes and _EMPTY_SHA256 not in self._received:
            self._begin(_EMPTY_SHA256).file.close()
            self._received.add(_EMPTY_SHA256)

    def close(self) -> None:
        """Close the file that was being received when the push failed."""
        if self._current is not None:
            self._current.file.close()

    def path(self, sha256: str) -> Path:
        """Where a received file lies."""
        return self._incoming / sha256

    def check_complete(self, known: Collection[str]) -> None:
        """Check that every file was received or is `known` already. Raises InvalidInput naming all that are missing."""
        missing = [
            field for sha256, field in self._fields.items() if sha256 not in known and sha256 not in self._received
        ]
        if missing:
            raise InvalidInput.of_field(
                missing[0],
                f"was not uploaded and the registry does not have it ({len(missing)} such files)",
                reason="MISSING_FILE",
                fix="Push again: what is missing by now is uploaded, too.",
            )

    def _begin(self, sha256: str) -> _Incoming:
        if sha256 in self._received:
            raise InvalidInput.of_field("chunk.sha256", "was uploaded already", reason="DUPLICATE_FILE")
        return _Incoming(sha256, self._sizes[sha256], (self._incoming / sha256).open("xb"))

    def _wrong_size(self, sha256: str, comparison: str) -> InvalidInput:
        return InvalidInput.of_field(
            f"{self._fields[sha256]}.size_bytes", f"{comparison} was uploaded than declared", reason="SIZE_MISMATCH"
        )


class _Incoming:
    def __init__(self, sha256: str, size_bytes: int, file: IO[bytes]) -> None:
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self.file = file
        self.written = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.written += len(data)
