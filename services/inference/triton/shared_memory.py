"""Memory that this process writes and its Triton reads; it has a name only until Triton has opened it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux, and where Triton looks for it
PREFIX = "lepton-slot-"
"""What the names of our regions begin with, as files and in Triton."""
_FREE_SPACE_FACTOR = 4
"""Triton's Python backend lives in /dev/shm too and fails when it is full: most of what is free is left to it."""


class SharedMemory:
    """A region of fixed size, written through `view`; freed when both sides have let go of it."""

    def __init__(self, path: Path, descriptor: int, memory: mmap.mmap) -> None:
        """Use `create`."""
        self.name = path.name
        self.size_bytes = len(memory)
        self.view = memoryview(memory)
        self._memory = memory
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def create(cls, size_bytes: int, *, prefix: str = PREFIX, directory: Path = SHARED_MEMORY) -> SharedMemory:
        """A new region that others can open by its name until it is hidden. Raises OSError when there is no space.

        All of the memory is there from the beginning: a file with holes would end this process with SIGBUS when the
        space runs out while it writes.
        """
        _check_space(size_bytes, directory)
        path, descriptor = _create_file(directory, prefix)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
            return cls(path, descriptor, mmap.mmap(descriptor, size_bytes))
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise

    def hide(self) -> None:
        """Take its name away once Triton has opened it: then a process that is killed leaves nothing behind."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def close(self) -> None:
        """Unmap it here."""
        self.hide()
        self.view.release()
        self._memory.close()


def remove_leftovers(directory: Path = SHARED_MEMORY) -> None:
    """Remove names left by processes that were killed while they made a region; living processes hold a lock on theirs.

    A lock rather than a process id in the name: ids are used again, and differ between containers.
    """
    for path in directory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it is gone, locked or another user's
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _check_space(size_bytes: int, directory: Path) -> None:
    space = os.statvfs(directory)
    if space.f_bavail * space.f_frsize < _FREE_SPACE_FACTOR * size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _create_file(directory: Path, prefix: str) -> tuple[Path, int]:
    while True:
        path = directory / f"{prefix}{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another process took it for a leftover before it was locked, and removed it
