"""Names in /dev/shm that live for a moment: made under a lock, and removed when whoever made them has been killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux, and where Triton looks for it
PREFIX = "lepton-slot-"
"""What the names of our regions begin with, as files and in Triton."""


def create_file(directory: Path = SHARED_MEMORY, prefix: str = PREFIX) -> tuple[Path, int]:
    """An empty region that others can open by its name; returns its open file, which holds the lock."""
    while True:
        path = directory / f"{prefix}{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another process took it for a leftover before it was locked, and removed it


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
