"""Content-addressed files: a blob's name is the SHA-256 of its content, so that it can be checked and never changes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import fsspec

from lepton_ai.errors import DataLoss

CHUNK_BYTES = 1 << 20
_PARTIAL = "partial"
_LOG = logging.getLogger(__name__)


_Stamp = tuple[object, ...]


class Blobs(Protocol):
    """Where file contents are kept."""

    async def put(self, sha256: str, source: Path) -> None:
        """Store a file's content durably, also in place of damaged content; do nothing when it is there already.

        Raises DataLoss for a source with another hash.
        """

    async def fetch(self, sha256: str, target: Path) -> None:
        """Copy a blob into a new file, checking it. Raises DataLoss when it is missing or damaged."""

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The content in chunks of 1 MiB. Raises DataLoss, at the end when the content turns out to be damaged."""

    async def find_unsound(self, sha256: Collection[str], *, afresh: bool = False) -> frozenset[str]:
        """Those that are missing or damaged.

        Each is hashed when it has changed since it was last found whole, when this process has not seen it yet, when a
        reader found it damaged, and (`afresh`) in any case.
        """

    async def sizes(self) -> Mapping[str, int]:
        """Hash → bytes of everything that is stored."""

    async def keep_only(self, sha256: Collection[str]) -> int:
        """Delete everything else, partial writes included; returns how many. Only while nobody else writes."""

    async def delete(self, sha256: str) -> None:
        """Delete a blob if it is there."""


class FileBlobs:
    """Blobs in a directory of any fsspec file system."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = PurePosixPath(root)
        self._whole: dict[str, _Stamp] = {}
        """The file system's description of each blob when its content was last found right."""

    @classmethod
    def in_directory(cls, directory: Path) -> FileBlobs:
        """Blobs on the local disk."""
        return cls(fsspec.filesystem("file", auto_mkdir=True), directory.as_posix())

    async def put(self, sha256: str, source: Path) -> None:
        await asyncio.to_thread(self._put, sha256, source)

    async def fetch(self, sha256: str, target: Path) -> None:
        await asyncio.to_thread(self._fetch, sha256, target)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        file = await asyncio.to_thread(self._open, sha256)
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                digest.update(chunk)
                yield chunk
        finally:
            file.close()
        if digest.hexdigest() != sha256:
            self._whole.pop(sha256, None)
            raise _lost(sha256)

    async def find_unsound(self, sha256: Collection[str], *, afresh: bool = False) -> frozenset[str]:
        # One after the other, each in a turn of its own: other requests get theirs in between.
        return frozenset([each for each in sha256 if not await asyncio.to_thread(self._is_sound, each, afresh=afresh)])

    async def sizes(self) -> Mapping[str, int]:
        return await asyncio.to_thread(self._sizes)

    async def keep_only(self, sha256: Collection[str]) -> int:
        return await asyncio.to_thread(self._keep_only, frozenset(sha256))

    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread(self._delete, sha256)

    def _path(self, sha256: str) -> str:
        return str(self._root / sha256[:2] / sha256)

    def _put(self, sha256: str, source: Path) -> None:
        if not self._is_sound(sha256):
            self._write(sha256, source)
        self._sync_directories(PurePosixPath(self._path(sha256)).parent)

    def _is_sound(self, sha256: str, *, afresh: bool = False) -> bool:
        stamp = self._stamp(sha256)
        if stamp is None:
            return False
        if afresh or self._whole.get(sha256) != stamp:
            self._whole.pop(sha256, None)
            if not self._has_right_content(sha256):
                return False
            self._whole[sha256] = stamp  # taken before it was read: what has changed meanwhile is read again
        return True

    def _has_right_content(self, sha256: str) -> bool:
        try:
            with self._open(sha256) as content:
                return hashlib.file_digest(content, "sha256").hexdigest() == sha256  # type: ignore[arg-type]
        except DataLoss:
            return False
        except OSError as error:  # a disk that cannot read it back
            _LOG.warning("file %s… cannot be read: %s", sha256[:12], error.strerror)
            return False

    def _stamp(self, sha256: str) -> _Stamp | None:
        try:
            info = self._filesystem.info(self._path(sha256))
        except FileNotFoundError:
            return None
        marks = (info.get(mark) for mark in ("ino", "mtime", "ETag", "LastModified", "created"))
        return (info["size"], *map(str, marks))

    def _sizes(self) -> Mapping[str, int]:
        found = self._filesystem.find(str(self._root), detail=True)
        return {
            PurePosixPath(path).name: int(info["size"])
            for path, info in found.items()
            if PurePosixPath(path).parent.name != _PARTIAL
        }

    def _write(self, sha256: str, source: Path) -> None:
        # Written aside and renamed: a blob under its own name is always whole.
        partial = str(self._root / _PARTIAL / f"{sha256}.{uuid.uuid4().hex}")
        try:
            with source.open("rb") as content, self._filesystem.open(partial, "wb") as copy:
                _copy(content, copy, sha256)
                self._sync_file(copy)
            self._filesystem.makedirs(str(self._root / sha256[:2]), exist_ok=True)
            self._filesystem.mv(partial, self._path(sha256))
            if stamp := self._stamp(sha256):
                self._whole[sha256] = stamp
        except BaseException:
            if self._filesystem.exists(partial):
                self._filesystem.rm(partial)
            raise

    def _fetch(self, sha256: str, target: Path) -> None:
        try:
            with self._open(sha256) as content, target.open("xb") as copy:
                _copy(content, copy, sha256)
        except DataLoss:
            self._whole.pop(sha256, None)
            raise

    def _open(self, sha256: str) -> IO[bytes]:
        try:
            return self._filesystem.open(self._path(sha256), "rb")  # type: ignore[no-any-return]
        except FileNotFoundError as error:
            raise _lost(sha256) from error

    def _keep_only(self, kept: frozenset[str]) -> int:
        unwanted = [path for path in self._filesystem.find(str(self._root)) if PurePosixPath(path).name not in kept]
        for path in unwanted:
            self._filesystem.rm(path)
        return len(unwanted)

    def _delete(self, sha256: str) -> None:
        if self._filesystem.exists(self._path(sha256)):
            self._filesystem.rm(self._path(sha256))

    @property
    def _is_local(self) -> bool:
        """Whether this is a disk, which must be told to make content safe; object stores answer once it is."""
        return "file" in self._filesystem.protocol

    def _sync_file(self, file: IO[bytes]) -> None:
        file.flush()
        if self._is_local:
            os.fsync(file.fileno())

    def _sync_directories(self, directory: PurePosixPath) -> None:
        """Make a rename durable."""
        if not self._is_local:
            return
        for renamed_in in (directory, self._root):
            descriptor = os.open(renamed_in, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _copy(source: IO[bytes], target: IO[bytes], sha256: str) -> None:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    if digest.hexdigest() != sha256:
        raise _lost(sha256)


def _lost(sha256: str) -> DataLoss:
    return DataLoss(
        f"The content of file {sha256[:12]}… is missing or damaged in the registry's storage.",
        reason="BLOB_DAMAGED",
        fix="Push the same package again: that mends it. `lepton registry check` names all that is damaged.",
    )
