"""Restarts this replica's Triton by ending its process, whose supervisor starts it again."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import time
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

_LEAST_INTERVAL_S = 60.0
_log = logging.getLogger(__name__)


class TritonRestart:
    """Ends the process in a pid file. At most once a minute: a model that kills its Triton must not do so for ever."""

    def __init__(self, pid_file: Path, marker: Path, *, least_interval_s: float = _LEAST_INTERVAL_S) -> None:
        """`marker` is a file whose time says when Triton was ended last, by whichever worker."""
        self._pid_file = pid_file
        self._marker = marker
        self._least_interval_s = least_interval_s

    async def __call__(self) -> None:
        """End Triton. Raises FailedPrecondition when it was restarted just before, or its process cannot be found."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._marker.parent.mkdir(parents=True, exist_ok=True)
        with self._marker.open("a+") as marker:
            fcntl.flock(marker, fcntl.LOCK_EX)  # no worker ends the Triton that was started because of another one
            marker.seek(0)
            if time.time() - float(marker.read() or "-inf") < self._least_interval_s:
                raise FailedPrecondition("Triton was restarted for a model just before.", reason="TRITON_RESTARTED")
            pid = self._find()
            marker.truncate(0)
            marker.write(str(time.time()))
            _log.warning("Ending Triton, process %d, so that it is started again", pid)
            os.kill(pid, signal.SIGKILL)  # it hangs, so SIGTERM would only take longer

    def _find(self) -> int:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
        except (OSError, ValueError) as error:
            raise _not_found() from error
        if "tritonserver" not in Path(os.fsdecode(command)).name:  # the id may belong to another program by now
            raise _not_found()
        return pid


def _not_found() -> FailedPrecondition:
    return FailedPrecondition(
        "Triton's process cannot be found, so it cannot be restarted.",
        reason="TRITON_NOT_FOUND",
        fix="Restart Triton by hand.",
    )
