"""The registry as a process of its own, which tests may kill."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from lepton_ai.testing import eventually
from lepton_ai.v1.registry_pb2_grpc import RegistryServiceStub

if TYPE_CHECKING:
    from lepton_ai.v1.registry_pb2_grpc import RegistryServiceAsyncStub

START_TIMEOUT_S = 30.0
NOBODY = "127.0.0.1:1"  # an etcd that is not there


@dataclass(frozen=True)
class RegistryProcess:
    """A process that serves, and a stub for it."""

    process: asyncio.subprocess.Process
    stub: RegistryServiceAsyncStub
    log: Path
    address: str

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    values = {
        "data_dir": str(data_dir),
        "etcd_address": NOBODY,
        "log_format": "json",
        "propagation_s": "0",
        "republish_interval_s": "0.2",
        **settings,
    }
    return {f"LEPTON_{name.upper()}": value for name, value in values.items()}


async def start(log: Path, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.registry", env=dict(env), stdout=file, stderr=file, cwd=Path.cwd()
        )


@asynccontextmanager
async def registry_process(data_dir: Path, **settings: str) -> AsyncIterator[RegistryProcess]:
    """A registry on the data directory, killed at the end of the block."""
    log = data_dir.with_name("registry.log")
    log.write_bytes(b"")
    process = await start(log, environment(data_dir, **settings))
    try:
        address = await eventually(
            lambda: listening_address(log),
            timeout_s=START_TIMEOUT_S,
            interval_s=0.05,
            description="the registry listens",
        )
        async with grpc.aio.insecure_channel(address) as channel:
            yield RegistryProcess(process, RegistryServiceStub(channel), log, address)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def listening_address(log: Path) -> str:
    """Where the registry of this log listens; empty until it does."""
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line) if line.startswith("{") else {}
        if record.get("message") == "listening":
            return str(record["address"])
    return ""
