"""supervisor's log files, changed so that a full disk costs lines and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supervisor import loggers


class PatientFileHandler(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor is untyped
    """Never raises: on an error supervisor would end, or stop reading a process's pipe, which would hang that process.

    It counts the records that could not be written, and notes the number in the log once there is room again.
    """

    stream: Any
    missing = 0
    """Records that were not written since the last one that was."""

    def emit(self, record: loggers.LogRecord) -> None:
        """Write a record, and rotate the file when it has grown too large."""
        before = self.missing
        try:
            if self.stream.closed:  # a rotation ended half-way
                self.stream = Path(self.baseFilename).open("ab")  # noqa: SIM115 - open as long as the process runs
            super().emit(record)
        except OSError:
            self.missing = max(self.missing, before + 1)
        if before and self.missing == before:
            self.missing = 0
            super().emit(loggers.LogRecord(loggers.LevelsByName.WARN, self._note(before)))

    def handleError(self) -> None:  # noqa: N802 - supervisor's name
        """Called by supervisor when a record cannot be written, in place of printing why where nobody reads it."""
        self.missing += 1

    def _note(self, count: int) -> str | bytes:
        text = f"(supervisor: the disk was full, {count} writes before this line are missing or cut)"
        return f"{text}\n".encode() if self.fmt == "%(message)s" else text


def install() -> None:
    """Make supervisor use it for its own log and those of all processes: it looks the class up by this name."""
    loggers.RotatingFileHandler = PatientFileHandler
