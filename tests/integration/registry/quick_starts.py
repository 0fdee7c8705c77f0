"""A registry that starts within a tenth of a second, for tests that kill it hundreds of times.

`python -m tests.integration.registry.quick_starts` loads all code once; each line that it reads starts a registry as a
fork with the settings in that line (JSON), and is answered by the number of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from lepton_ai.testing import eventually


class QuickStarts:
    """Starts registries, and kills them as nobody could foresee."""

    def __init__(self, parent: asyncio.subprocess.Process) -> None:
        """Use `quick_starts`."""
        self._parent = parent

    async def start(self, settings: Mapping[str, str], log: Path) -> int:
        """A registry with these environment variables; returns its process."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps({"settings": dict(settings), "log": str(log)}).encode() + b"\n")
        return int(await asyncio.wait_for(self._parent.stdout.readline(), 30.0))

    async def kill(self, process: int) -> None:
        """kill -9, and wait until it is gone."""
        os.kill(process, signal.SIGKILL)
        await eventually(lambda: not psutil.pid_exists(process), interval_s=0.002, description="it is gone")


@asynccontextmanager
async def quick_starts() -> AsyncIterator[QuickStarts]:
    """The parent of the registries. They end with it."""
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=pipe, stdout=pipe)
    try:
        yield QuickStarts(parent)
    finally:
        parent.kill()
        await parent.wait()


def _serve_forks() -> None:
    from services.registry import service

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets the dead
    for line in sys.stdin:
        wanted = json.loads(line)
        process = os.fork()
        if process == 0:
            _run(service.main, wanted)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()


def _run(main: object, wanted: dict[str, object]) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(wanted["settings"])  # type: ignore[call-overload]
    log = os.open(str(wanted["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        asyncio.run(main())  # type: ignore[operator]
    finally:
        os._exit(1)


if __name__ == "__main__":
    _serve_forks()
