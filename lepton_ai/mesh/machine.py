"""What tells whether two processes are on one machine, and files that both can open there."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import cache
from pathlib import Path
from typing import IO

from lepton_ai.v1 import registry_pb2

LEAST_BYTES = 32 << 20
"""Smaller files are sent as quickly as they are found."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str:
    """Names this boot of the machine; empty where Linux does not say it."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def machine_name() -> str:
    """What others know this machine by until it is started again; empty where there is no such thing."""
    boot = boot_id()
    return hashlib.sha256(boot.encode()).hexdigest() if boot else ""


def is_this_machine(name: str) -> bool:
    """Whether it is the `machine_name` here."""
    return bool(name) and name == machine_name()


def place_of(path: Path) -> registry_pb2.FilePlace:
    """Where a file lies, for `open_place`. Raises OSError."""
    status = path.stat()
    return registry_pb2.FilePlace(
        path=str(path.absolute()), size_bytes=status.st_size, device=status.st_dev, inode=status.st_ino
    )


def open_place(place: registry_pb2.FilePlace) -> IO[bytes] | None:
    """The file, to be read without a buffer; None when this process cannot read it, or finds another one there, as in
    a container with disks of its own. What is in it nobody has checked."""
    try:
        # Not to wait for a pipe that somebody has put there; links are what nobody told of.
        descriptor = os.open(place.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    status = os.fstat(descriptor)
    found = (status.st_size, status.st_dev, status.st_ino)
    if not stat.S_ISREG(status.st_mode) or found != (place.size_bytes, place.device, place.inode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb", buffering=0)
