"""Content-addressed files: a blob's name is the SHA-256 of its content, so that it can be checked and never changes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Collection
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import fsspec

from lepton_ai.errors import DataLoss

CHUNK_BYTES = 1 << 20
_PARTIAL = "partial"


class Blobs(Protocol):
    """Where file contents are kept."""

    async def put(self, sha256: str, source: Path) -> None:
        """Store a file's content durably; nothing to do when it is there already. Raises DataLoss for another hash."""

    async def fetch(self, sha256: str, target: Path) -> None:
        """Copy a blob into a new file, checking it. Raises DataLoss when it is missing or damaged."""

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The content in chunks of 1 MiB. Raises DataLoss, at the end when the content turns out to be damaged."""

    async def keep_only(self, sha256: Collection[str]) -> int:
        """Delete everything else, partial writes included; returns how many. Only while nobody else writes."""

    async def delete(self, sha256: str) -> None:
        """Delete a blob if it is there."""


class FileBlobs:
    """Blobs in a directory of any fsspec file system."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = PurePosixPath(root)

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
        _check_digest(digest.hexdigest(), sha256)

    async def keep_only(self, sha256: Collection[str]) -> int:
        return await asyncio.to_thread(self._keep_only, frozenset(sha256))

    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread(self._delete, sha256)

    def _path(self, sha256: str) -> str:
        return str(self._root / sha256[:2] / sha256)

    def _put(self, sha256: str, source: Path) -> None:
        path = self._path(sha256)
        if not self._filesystem.exists(path):
            self._write(sha256, source)
        self._sync_directories(PurePosixPath(path).parent)

    def _write(self, sha256: str, source: Path) -> None:
        # Written aside and renamed: a blob under its own name is always whole.
        partial = str(self._root / _PARTIAL / f"{sha256}.{uuid.uuid4().hex}")
        try:
            with source.open("rb") as content, self._filesystem.open(partial, "wb") as copy:
                _copy(content, copy, sha256)
                self._sync_file(copy)
            self._filesystem.makedirs(str(self._root / sha256[:2]), exist_ok=True)
            self._filesystem.mv(partial, self._path(sha256))
        except BaseException:
            if self._filesystem.exists(partial):
                self._filesystem.rm(partial)
            raise

    def _fetch(self, sha256: str, target: Path) -> None:
        with self._open(sha256) as content, target.open("xb") as copy:
            _copy(content, copy, sha256)

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
        """Only a disk needs to be told when content must be safe; object stores answer when it is."""
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
    _check_digest(digest.hexdigest(), sha256)


def _check_digest(found: str, expected: str) -> None:
    if found != expected:
        raise _lost(expected)


def _lost(sha256: str) -> DataLoss:
    return DataLoss(
        f"The content of file {sha256[:12]}… is missing or damaged in the registry's storage.",
        reason="BLOB_DAMAGED",
        fix="Restore the registry's storage from a backup, or push the model under a new version.",
    )
