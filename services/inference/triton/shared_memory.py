"""Memory that this process writes and its Triton reads; it has a name only until Triton has opened it."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from lepton_ai.mesh.shared_memory import PREFIX, SHARED_MEMORY, create_file

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
        path, descriptor = create_file(directory, prefix)
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


def _check_space(size_bytes: int, directory: Path) -> None:
    space = os.statvfs(directory)
    if space.f_bavail * space.f_frsize < _FREE_SPACE_FACTOR * size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
