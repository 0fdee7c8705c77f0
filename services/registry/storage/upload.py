"""Receives the files of one push: hashed while they are written, bounded by what the manifest declares.

A file may go on from what an upload that broke off has left of it; its hash is that of the whole in any case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Protocol

from lepton_ai.errors import InvalidInput, Unavailable
from lepton_ai.mesh.hashed_file import Content, HashedFile
from lepton_ai.v1 import registry_pb2
from services.registry.storage.kept_uploads import KeptUploads

MISSING, INCOMPLETE = "MISSING_FILE", "UPLOAD_INCOMPLETE"
"""The reasons of errors that say that not all has arrived: what has is not wrong."""
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Chunk(Protocol):
    """What a FileChunk holds."""

    @property
    def sha256(self) -> str: ...
    @property
    def data(self) -> Content: ...
    @property
    def offset(self) -> int: ...


class Upload:
    """The files of one manifest, gathered in a staging directory that nobody else uses."""

    def __init__(self, manifest: registry_pb2.Manifest, directory: Path, kept: KeptUploads) -> None:
        self._sizes = {file.sha256: file.size_bytes for file in manifest.files}
        self._fields = {file.sha256: f"manifest.files[{index}]" for index, file in enumerate(manifest.files)}
        self._incoming = directory / "incoming"
        self._incoming.mkdir()
        self._kept = kept
        self._current: _Incoming | None = None
        self._received: set[str] = set()

    @property
    def received(self) -> frozenset[str]:
        """Hashes of the files that have arrived whole, and are on the disk."""
        return frozenset(self._received)

    async def add(self, chunk: Chunk) -> None:
        """Write a chunk. Raises InvalidInput for one that the manifest does not announce or that is out of place,
        Unavailable when it goes on from what is not kept any more."""
        if chunk.sha256 not in self._sizes:
            raise InvalidInput.of_field("chunk.sha256", "is not a file of the manifest", reason="UNDECLARED_FILE")
        if self._current is None or self._current.sha256 != chunk.sha256:
            await self.finish()
            if self._take_whole(chunk):
                return
            self._current = await self._begin(chunk.sha256, chunk.offset)
        current = self._current
        left_bytes = current.size_bytes - current.hashed.size_bytes
        if not chunk.data and left_bytes:
            raise InvalidInput.of_field("chunk.data", "is empty")
        if len(chunk.data) > left_bytes:
            raise self._wrong_size(current.sha256, "more", reason="SIZE_MISMATCH")
        await current.hashed.write(chunk.data)

    async def finish(self) -> None:
        """End the file that is being received. Raises InvalidInput unless it is what the manifest declares."""
        current = self._current
        if current is None:
            return
        if current.hashed.size_bytes < current.size_bytes:
            raise self._wrong_size(current.sha256, "less", reason=INCOMPLETE)
        digest = await current.finish()
        self._current = None
        if digest != current.sha256:
            raise self._wrong_hash(current)
        self._received.add(current.sha256)

    async def take_empty_file(self) -> None:
        """An empty file needs no chunk."""
        if _EMPTY_SHA256 in self._sizes and _EMPTY_SHA256 not in self._received:
            self._current = await self._begin(_EMPTY_SHA256, 0)
            await self.finish()

    async def close(self) -> None:
        """Close the file that was being received when the push failed."""
        if self._current is not None:
            await self._current.close()

    def keep(self) -> None:
        """Keep what has arrived for the next push."""
        self._kept.keep(self._incoming)

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
                reason=MISSING,
                fix="Push again: what is missing by now is uploaded, too.",
            )

    def _take_whole(self, chunk: Chunk) -> bool:
        """What was hashed as a whole before it was kept is not read again."""
        sha256 = chunk.sha256
        if chunk.data or not chunk.offset or chunk.offset != self._sizes[sha256] or sha256 in self._received:
            return False
        if not self._kept.take_whole(sha256, self.path(sha256)):
            return False
        self._received.add(sha256)
        return True

    async def _begin(self, sha256: str, offset: int) -> _Incoming:
        if sha256 in self._received:
            raise InvalidInput.of_field("chunk.sha256", "was uploaded already", reason="DUPLICATE_FILE")
        path = self.path(sha256)
        if not offset:
            self._kept.discard(sha256)
            return _Incoming(sha256, self._sizes[sha256], path.open("xb"))
        if self._kept.take(sha256, path) < offset:
            raise _not_kept("is not kept any more")
        incoming = _Incoming(sha256, self._sizes[sha256], path.open("r+b"), resumed=True)
        try:
            await incoming.hashed.take(offset)
        except BaseException:
            incoming.file.close()
            raise
        return incoming

    def _wrong_size(self, sha256: str, comparison: str, *, reason: str) -> InvalidInput:
        return InvalidInput.of_field(
            f"{self._fields[sha256]}.size_bytes", f"{comparison} was uploaded than declared", reason=reason
        )

    def _wrong_hash(self, current: _Incoming) -> InvalidInput | Unavailable:
        self.path(current.sha256).unlink()
        if current.resumed:  # a power failure may have damaged the part that was kept
            return _not_kept("is damaged")
        field = f"{self._fields[current.sha256]}.sha256"
        return InvalidInput.of_field(field, "is not the hash of what was uploaded", reason="HASH_MISMATCH")


def _not_kept(what: str) -> Unavailable:
    return Unavailable(
        f"What had arrived of a file before {what}.", reason="UPLOAD_NOT_KEPT", fix="Push again, from its beginning."
    )


class _Incoming:
    """A file that is being received."""

    def __init__(self, sha256: str, size_bytes: int, file: IO[bytes], *, resumed: bool = False) -> None:
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self.file = file
        self.resumed = resumed
        self.hashed = HashedFile(file)

    async def finish(self) -> str:
        """Close it once all of it is on the disk; returns its hash."""
        digest = await self.hashed.finish()
        self.file.close()
        return digest

    async def close(self) -> None:
        """Close the file; what is being written is written."""
        try:
            await self.hashed.settle()
        finally:
            self.file.close()
