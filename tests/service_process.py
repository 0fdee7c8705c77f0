"""A service as a process of its own, `python -m services.NAME`, away from everything that it needs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def service_process(name: str, **settings: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its address, which its log tells. `settings` are more of its environment."""
    environment = {"LEPTON_ETCD_ADDRESS": "127.0.0.1:1", "LEPTON_PROPAGATION_S": "0", "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{name}",
        cwd=ROOT,
        env=environment | settings,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while b"listening" not in (line := await process.stderr.readline()):
                assert line, "the process ended"
        yield process, line.decode().split('address="')[1].split('"')[0]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
