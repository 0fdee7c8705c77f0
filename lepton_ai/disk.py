"""Room on disks: how much there is, how little is too little, and which errors mean that there is none."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

LOW_BYTES = 256 << 20
"""With less room than this a disk counts as nearly full: etcd and Triton soon need as much."""


def is_full(error: OSError) -> bool:
    """Whether an error says that the disk, this user's share of it or what a file may take is full."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def free_bytes(directory: Path) -> int:
    """The room that is left for this user on the disk of a directory, as far as the directory exists."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return shutil.disk_usage(directory).free


def describe_low(directory: Path, *, low_bytes: int = LOW_BYTES) -> str:
    """A sentence about a disk that is nearly full, with what to do; empty while there is enough room."""
    free = free_bytes(directory)
    if free >= low_bytes:
        return ""
    how = "full" if free < os.sysconf("SC_PAGE_SIZE") else f"nearly full: {free / (1 << 20):.1f} MiB are left"
    return f"The disk that the platform writes to is {how}. Make room; what cannot be written now comes back by itself."
