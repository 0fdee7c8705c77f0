"""Registries that start within a tenth of a second, for tests that kill them hundreds of times: forked from a process
that has imported everything.

Run as a program it forks one for every line of stdin, the environment as JSON, answers with its process id, and says
that once more when it has ended.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lepton_ai.testing import eventually
from tests.integration.registry.process import START_TIMEOUT_S, environment, listening_address

_PR_SET_PDEATHSIG = 1


class Nursery:
    """Starts registries, one after the other, and kills them as nobody could foresee."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        """Use `nursery`."""
        self._process = process
        self._log = log

    async def start(self, data_dir: Path, **settings: str) -> int:
        """A registry on the data directory; returns its process. The one before must have been killed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(environment(data_dir, **settings)).encode() + b"\n")
        return await self._hear()

    async def kill(self, process: int) -> None:
        """kill -9; returns when it has ended."""
        os.kill(process, signal.SIGKILL)
        assert await self._hear() == process, "it has ended"

    async def _hear(self) -> int:
        assert self._process.stdout is not None
        return int(await asyncio.wait_for(self._process.stdout.readline(), START_TIMEOUT_S))

    @asynccontextmanager
    async def registry(self, data_dir: Path, **settings: str) -> AsyncIterator[str]:
        """The address of a registry on the data directory, which is killed at the end of the block."""
        self._log.write_bytes(b"")
        process = await self.start(data_dir, **settings)
        try:
            yield await eventually(
                lambda: listening_address(self._log),
                timeout_s=START_TIMEOUT_S,
                interval_s=0.005,
                description="the registry listens",
            )
        finally:
            await self.kill(process)


@asynccontextmanager
async def nursery(log: Path) -> AsyncIterator[Nursery]:
    """One for the length of the block, with which its registries end; what these say goes to `log`."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.registry.forked"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
        )
    try:
        yield Nursery(process, log)
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    """Fork as asked; say when one has ended."""
    # What the children would take their time to import while they start.
    import aiosqlite  # noqa: F401
    import fsspec.implementations.local  # noqa: F401
    import onnxruntime  # noqa: F401

    from services.registry import service
    from services.registry.inspection import inspection, inspector

    async def inspect(self: Any, directory: Path, manifest: Any = None) -> inspection.Verdict:
        # In a thread, not in a process of its own that takes a second to start: when that ends is not what is tested.
        limits = {"package": asdict(self._package_limits), "triton_backend": self._triton_backend, "dry_run": "off"}
        found = await asyncio.to_thread(inspector.inspect, directory, manifest, limits, not_isolated="")
        return inspection.Verdict(**asdict(found))

    inspection.Inspection.inspect = inspect  # type: ignore[method-assign]
    gc.freeze()  # what all have in common is not looked through in each
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.environ.update(_texts(json.loads(line)))
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            asyncio.run(service.main())
            os._exit(0)
        print(pid, flush=True)  # noqa: T201 - the answer
        os.waitpid(pid, 0)
        print(pid, flush=True)  # noqa: T201


def _texts(environment: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in environment.items()}


if __name__ == "__main__":
    main()
