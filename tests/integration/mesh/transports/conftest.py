"""Probe processes on each transport, and clients for them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from lepton_ai.testing import eventually
from tests.integration.mesh.echo import EchoStub
from tests.transports import TRANSPORTS

_ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class ProbeProcess:
    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


class ProbeClient(EchoStub):
    """EchoStub with what the probe knows of itself."""

    async def state(self) -> dict[str, Any]:
        return dict(json.loads(await self.send("UnaryUnary", "state", timeout=5)))

    async def until(self, **wanted: int) -> None:
        async def reached() -> bool:
            state = await self.state()
            return all(state[name] == value for name, value in wanted.items())

        await eventually(reached, description=f"the probe says {wanted}")


@contextmanager
def probe_process(transport: str, **settings: object) -> Iterator[ProbeProcess]:
    variables = {f"LEPTON_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.mesh.transports.probe_process"],
        cwd=_ROOT,
        env={**os.environ, "LEPTON_TRANSPORT": transport, "LEPTON_PROPAGATION_S": "0", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        words = process.stdout.readline().split()
        assert words and words[0] == "listening", process.communicate()
        yield ProbeProcess(process, words[1])
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def undisturbed(client: ProbeClient, *, within_s: float = 1.0) -> AsyncIterator[None]:
    """Another caller calls all the time while the block runs, and each of its calls is answered in time."""
    times_s: list[float] = []

    async def call() -> None:
        while True:
            begin_s = time.monotonic()
            await client.send("UnaryUnary", "a", timeout=5)
            times_s.append(time.monotonic() - begin_s)
            await asyncio.sleep(0.01)

    calling = asyncio.ensure_future(call())
    yield
    answered = len(times_s)
    await eventually(lambda: calling.done() or len(times_s) > answered + 1, description="the other caller goes on")
    assert not calling.done(), calling.result()
    calling.cancel()
    assert max(times_s) < within_s


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def probe(transport: str) -> Iterator[ProbeProcess]:
    """One process for all tests of a module that leave it as it was."""
    with probe_process(transport) as process:
        yield process


@pytest.fixture
async def channel(probe: ProbeProcess) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(
        probe.address, options=[*options, ("grpc.use_local_subchannel_pool", 1)]
    ) as it:
        yield it


@pytest.fixture
def client(channel: grpc.aio.Channel) -> ProbeClient:
    return ProbeClient(channel)
