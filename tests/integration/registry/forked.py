"""Registries that start in a moment: forked from a process that has imported everything, each to be killed.

Run as a program it forks one for every line of stdin, the environment as JSON, and answers with its process id.
"""

from __future__ import annotations

import asyncio
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


class Nursery:
    """Starts registries."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @asynccontextmanager
    async def registry(self, data_dir: Path, **settings: str) -> AsyncIterator[str]:
        """The address of a registry on the data directory, which is killed with SIGKILL at the end of the block."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._log.write_bytes(b"")
        self._process.stdin.write(json.dumps(environment(data_dir, **settings)).encode() + b"\n")
        pid = int(await self._process.stdout.readline())
        try:
            yield await eventually(
                lambda: listening_address(self._log),
                timeout_s=START_TIMEOUT_S,
                interval_s=0.005,
                description="the registry listens",
            )
        finally:
            os.kill(pid, signal.SIGKILL)
            assert int(await self._process.stdout.readline()) == pid, "it has ended"


@asynccontextmanager
async def nursery(log: Path) -> AsyncIterator[Nursery]:
    """One for the length of the block; what its registries say goes to `log`."""
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
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def main() -> None:
    """Fork as asked; say when one has ended."""
    import onnxruntime  # noqa: F401 - what the children would take their time to import

    from services.registry import service
    from services.registry.inspection import inspection, inspector

    async def inspect(self: Any, directory: Path, manifest: Any = None) -> inspection.Verdict:
        # In a thread, not in a process of its own that takes a second to start: when that ends is not what is tested.
        limits = {"package": asdict(self._package_limits), "triton_backend": self._triton_backend, "dry_run": "off"}
        found = await asyncio.to_thread(inspector.inspect, directory, manifest, limits, not_isolated="")
        return inspection.Verdict(**asdict(found))

    inspection.Inspection.inspect = inspect  # type: ignore[method-assign]
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
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
