"""Content-addressed files: a blob's name is the SHA-256 of its content, so that it can be checked and never changes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, ParamSpec, Protocol, TypeVar

import fsspec

from lepton_ai.errors import DataLoss, FailedPrecondition
from lepton_ai.mesh.hashed_file import CHUNK_BYTES, read_ahead
from lepton_ai.mesh.machine import place_of
from lepton_ai.v1 import registry_pb2

_PARTIAL = "partial"
_REMOTE_READ_BYTES = 8 << 20
"""What is asked for at once where asking takes a while."""
_S3 = "s3://"
_LOG = logging.getLogger(__name__)


_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
"""What says that a file cannot be given a second name there."""

_Stamp = tuple[object, ...]
Errors = Callable[[], AbstractContextManager[None]]
P = ParamSpec("P")
T = TypeVar("T")


class Blobs(Protocol):
    """Where file contents are kept."""

    async def put(self, sha256: str, source: Path, *, verified: bool = False) -> None:
        """Store a file's content durably, also in place of damaged content; do nothing when it is there already.

        `verified`: the source was hashed as it was written, is synced to its disk and is not written to any more, so
        that it need not be read again where it can become the blob itself. Raises DataLoss for a source with another
        hash.
        """

    async def fetch(self, sha256: str, target: Path) -> None:
        """Copy a blob into a new file, checking it. Raises DataLoss when it is missing or damaged."""

    async def place(self, sha256: str) -> registry_pb2.FilePlace | None:
        """Where it lies on a disk of this machine; None when it does not."""

    def read(self, sha256: str) -> AsyncGenerator[bytes]:
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

    async def find_missing(self, sha256: Collection[str]) -> frozenset[str]:
        """Those of which there is nothing at all; what they contain is not looked at."""

    async def age_s(self, sha256: str) -> float:
        """How long ago it was stored; 0 when it is not there."""

    async def delete_partial(self, *, older_than_s: float) -> int:
        """Delete what killed writers left behind longer ago; returns how many."""


class FileBlobs:
    """Blobs in a directory of any fsspec file system."""

    def __init__(self, filesystem: Any, root: str, *, errors: Errors = nullcontext) -> None:
        """`errors` turns the file system's own errors into ours."""
        self._filesystem = filesystem
        self._root = PurePosixPath(root)
        self._errors = errors
        self._whole: dict[str, _Stamp] = {}
        """The file system's description of each blob when its content was last found right."""

    @classmethod
    def in_directory(cls, directory: Path) -> FileBlobs:
        """Blobs on the local disk."""
        return cls(fsspec.filesystem("file", auto_mkdir=True), directory.as_posix())

    async def put(self, sha256: str, source: Path, *, verified: bool = False) -> None:
        await self._call(self._put, sha256, source, verified)

    async def fetch(self, sha256: str, target: Path) -> None:
        await self._call(self._fetch, sha256, target)

    async def place(self, sha256: str) -> registry_pb2.FilePlace | None:
        if not self._is_local:
            return None
        try:
            return await self._call(place_of, Path(self._path(sha256)))
        except FileNotFoundError:
            return None

    async def read(self, sha256: str) -> AsyncGenerator[bytes]:
        digest = hashlib.sha256()
        file = await self._call(self._open, sha256)
        try:
            with self._errors():
                async with aclosing(read_ahead(file, digest=digest)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        finally:
            file.close()
        if digest.hexdigest() != sha256:
            self._whole.pop(sha256, None)
            raise _lost(sha256)

    async def find_unsound(self, sha256: Collection[str], *, afresh: bool = False) -> frozenset[str]:
        # One after the other, each in a turn of its own: other requests get theirs in between.
        return frozenset([each for each in sha256 if not await self._call(self._is_sound, each, afresh=afresh)])

    async def sizes(self) -> Mapping[str, int]:
        return await self._call(self._sizes)

    async def keep_only(self, sha256: Collection[str]) -> int:
        return await self._call(self._keep_only, frozenset(sha256))

    async def delete(self, sha256: str) -> None:
        await self._call(self._delete, sha256)

    async def find_missing(self, sha256: Collection[str]) -> frozenset[str]:
        return frozenset([each for each in sha256 if await self._call(self._stamp, each) is None])

    async def age_s(self, sha256: str) -> float:
        return await self._call(self._age_s, self._path(sha256))

    async def delete_partial(self, *, older_than_s: float) -> int:
        return await self._call(self._delete_partial, older_than_s)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it in a thread, with its errors as ours."""
        with self._errors():
            return await asyncio.to_thread(function, *args, **kwargs)

    def _path(self, sha256: str) -> str:
        return str(self._root / sha256[:2] / sha256)

    def _put(self, sha256: str, source: Path, verified: bool) -> None:
        if not self._is_sound(sha256) and not (verified and self._link(sha256, source)):
            self._write(sha256, source, verified)
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
        marks = (info.get(mark) for mark in ("ino", "mtime", "e_tag", "last_modified", "created"))
        return (info["size"], *map(str, marks))

    def _sizes(self) -> Mapping[str, int]:
        found = self._filesystem.find(str(self._root), detail=True)
        return {
            PurePosixPath(path).name: int(info["size"])
            for path, info in found.items()
            if PurePosixPath(path).parent.name != _PARTIAL
        }

    def _write(self, sha256: str, source: Path, verified: bool) -> None:
        if self._is_local:
            self._write_aside(sha256, source)
        else:
            if not verified:
                _check(source, sha256)
            # In parts if it is large; nobody sees it before it is whole.
            self._filesystem.put_file(str(source), self._path(sha256))
        if stamp := self._stamp(sha256):
            self._whole[sha256] = stamp

    def _write_aside(self, sha256: str, source: Path) -> None:
        # And renamed: a blob under its own name is always whole.
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

    def _link(self, sha256: str, source: Path) -> bool:
        """Let a file of the same disk be the blob, without reading it; False where that cannot be."""
        if not self._is_local:
            return False
        target = Path(self._path(sha256))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(str(self._root / _PARTIAL / f"{sha256}.{uuid.uuid4().hex}"))
        partial.parent.mkdir(exist_ok=True)
        try:
            partial.hardlink_to(source)
        except OSError as error:  # another file system, or one without links
            if error.errno not in _NO_LINKS:
                raise
            return False
        partial.replace(target)
        partial.unlink(missing_ok=True)  # renaming a link to a file over another link to it leaves both
        if stamp := self._stamp(sha256):
            self._whole[sha256] = stamp
        return True

    def _fetch(self, sha256: str, target: Path) -> None:
        try:
            with self._open(sha256) as content, target.open("xb") as copy:
                _copy(content, copy, sha256)
        except DataLoss:
            self._whole.pop(sha256, None)
            raise

    def _open(self, sha256: str) -> IO[bytes]:
        try:
            path, options = self._path(sha256), {}
            if not self._is_local:
                options = {"buffer_size": _REMOTE_READ_BYTES, "size": self._filesystem.info(path)["size"]}
            return self._filesystem.open(path, "rb", **options)  # type: ignore[no-any-return]
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

    def _age_s(self, path: str) -> float:
        try:
            stored_at = self._filesystem.modified(path)
        except FileNotFoundError:
            return 0.0
        return float((datetime.now(UTC) - stored_at).total_seconds())

    def _delete_partial(self, older_than_s: float) -> int:
        partial = self._filesystem.find(str(self._root / _PARTIAL))
        old = [path for path in partial if self._age_s(path) > older_than_s]
        for path in old:
            self._filesystem.rm(path)
        return len(old)

    @property
    def _is_local(self) -> bool:
        """Whether this is a disk, which must be told to make content safe; object stores answer once it is."""
        return "file" in self._filesystem.protocol

    def _sync_file(self, file: IO[bytes]) -> None:
        file.flush()
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


def open_blobs(url: str) -> FileBlobs:
    """Blobs in s3://BUCKET/PREFIX, or in a directory, which is made.

    Raises FailedPrecondition for a place that cannot be used, Unavailable.
    """
    if url.startswith(_S3):
        # Imported here: where files are on a disk, the registry is smaller without it.
        from services.registry.storage.s3 import open_s3, s3_errors

        root = url.removeprefix(_S3).strip("/")
        return FileBlobs(open_s3(root), root, errors=s3_errors)
    directory = Path(url.removeprefix("file://"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            f"The directory of LEPTON_BLOBS_URL cannot be used: {error.strerror}.",
            reason="BLOBS",
            fix="Name a directory that this user may write.",
        ) from error
    return FileBlobs.in_directory(directory)


def _check(source: Path, sha256: str) -> None:
    with source.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
            raise _lost(sha256)


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
