"""What has arrived of files whose push broke off: kept for a while, so that the next push goes on where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class _Stamp(NamedTuple):
    """Others once a file was written to."""

    inode: int
    written_ns: int
    size_bytes: int


@dataclass(frozen=True)
class KeepLimits:
    """How long, and how much of it all together, is kept."""

    age_s: float = 86400.0
    total_bytes: int = 16 << 30


class KeptUploads:
    """Beginnings of files in a directory, each under the hash that the whole file is said to have.

    Nothing in them is trusted, but for files that this process has hashed whole and that nobody has written to since:
    whoever goes on with one hashes it with the rest. A push takes what it needs away from here, so that two of them
    never write to one file. Calls block for a moment; they only look up and rename.
    """

    def __init__(self, directory: Path, limits: KeepLimits | None = None) -> None:
        """The directory must be on the file system of the uploads."""
        self._directory = directory
        self.limits = limits or KeepLimits()
        self._whole: dict[str, _Stamp] = {}

    def open(self) -> None:
        """Make the directory, and delete what is too old by now. Raises OSError."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self.expire()

    def sizes(self, sha256: Iterable[str]) -> Mapping[str, int]:
        """How much there is of those files of which there is something."""
        kept = {path.name: path for path in self._directory.iterdir()}
        return {each: size for each in sha256 if each in kept and (size := _size(kept[each]))}

    def take(self, sha256: str, target: Path) -> int:
        """Move what there is of a file to `target`; returns how much it is, 0 when nothing is there."""
        try:
            (self._directory / sha256).rename(target)
        except FileNotFoundError:
            return 0
        return _size(target)

    def take_whole(self, sha256: str, target: Path) -> bool:
        """Move a file to `target` if it is, to the byte, what `keep_whole` was given."""
        stamp = self._whole.pop(sha256, None)
        if stamp is None or not (self._directory / sha256).exists() or _stamp(self._directory / sha256) != stamp:
            return False
        return self.take(sha256, target) == stamp.size_bytes

    def keep_whole(self, sha256: str, path: Path) -> None:
        """Take over a file that has this hash and is on the disk."""
        self._whole[sha256] = _stamp(path)
        path.rename(self._directory / sha256)
        self.expire()

    def discard(self, sha256: str) -> None:
        """Forget what there is of a file."""
        self._whole.pop(sha256, None)
        (self._directory / sha256).unlink(missing_ok=True)

    def keep(self, incoming: Path) -> None:
        """Take over the files of a directory that are named by their hashes, each unless more of it is here already."""
        for path in incoming.iterdir():
            if _size(path) > _size(self._directory / path.name):
                path.rename(self._directory / path.name)
        self.expire()

    def expire(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        kept = sorted(((path.stat().st_mtime, path) for path in self._directory.iterdir()), reverse=True)
        total, oldest = 0, time.time() - self.limits.age_s
        for written_s, path in kept:
            total += _size(path)
            if written_s < oldest or total > self.limits.total_bytes:
                self.discard(path.name)

    def clear(self) -> None:
        """Delete all, for instance as the disk is full."""
        self._whole.clear()
        for path in self._directory.iterdir():
            path.unlink()


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
