"""Data that a process may lose: set aside when the process cannot start on it, so that it can start without it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lepton_ai.disk import free_bytes

_FAILED_STARTS = 3
_NEEDED_BYTES = 160 << 20
"""With less room, the disk and not the data keeps the process from starting: etcd begins with two files of 64 MB."""


class ExpendableData:
    """The data directory of a process, and how often the process has ended by itself in a row while it started."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failures = 0

    def started(self) -> None:
        """Note that the process runs on this data."""
        self._failures = 0

    def failed(self) -> str:
        """The process ended by itself while it started. Returns what was done about it, or nothing.

        A failure counts only while there is room: it says nothing about the data when the disk is full.
        """
        if not self._path.exists() or free_bytes(self._path) < _NEEDED_BYTES:
            return ""
        self._failures += 1
        if self._failures < _FAILED_STARTS:
            return ""
        self._failures = 0
        aside = self._path.with_name(f"{self._path.name}.unusable")
        shutil.rmtree(aside, ignore_errors=True)  # only the last one is kept
        self._path.rename(aside)
        return (
            f"It ended {_FAILED_STARTS} times while it started on its data, which can be made again: "
            f"they are set aside as {aside.name}, and it starts without them."
        )
