"""Several workers on one port, on each transport: any of them may die or leave, and nobody who calls again notices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.serving.workers import parent as parent_program
from lepton_ai.mesh.serving.workers.reserved import reserve
from lepton_ai.testing import eventually
from tests.integration.mesh.transports.conftest import ProbeClient

_ROOT = Path(__file__).parents[4]
_START_S = 60.0
WORKERS = 2


@dataclass(frozen=True)
class Workers:
    """A parent and what it started."""

    parent: subprocess.Popen[bytes]
    address: str

    def pids(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.parent.pid).children()}

    async def listening(self) -> set[int]:
        """The workers that answer on the shared port, by many connections of one call each."""
        return {await ask_alone(self.address) for _ in range(12)}

    async def until_gone(self, worker: int) -> None:
        await eventually(lambda: worker not in self.pids(), timeout_s=20, description="the worker has ended")

    async def until_all_listen(self) -> set[int]:
        async def all_listen() -> bool:
            found = await self.listening()
            return len(found) == WORKERS and found == self.pids()

        await eventually(all_listen, timeout_s=_START_S, interval_s=0.1, description="all workers listen")
        return self.pids()


async def ask_alone(address: str) -> int:
    """The process that answers a call of a new connection."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return int(await ProbeClient(channel).send("UnaryUnary", "pid", timeout=5))


@pytest.fixture
def workers(transport: str) -> Iterator[Workers]:
    port = reserve("127.0.0.1", 0)
    address = f"127.0.0.1:{port.getsockname()[1]}"
    port.close()
    variables = {"LEPTON_TRANSPORT": transport, "LEPTON_PORT": address.rpartition(":")[2], "LEPTON_LOG_LEVEL": "ERROR"}
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.mesh.transports.probe_process", "--workers", str(WORKERS)],
        cwd=_ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield Workers(parent, address)
    finally:
        parent.kill()
        parent.wait()


@asynccontextmanager
async def patient_calls(address: str, *, callers: int = 4) -> AsyncIterator[list[str]]:
    """Callers that try again as clients of Lepton do; a call that fails fails the test."""
    pool = ServicePool("probe", fixed_endpoints("probe", [address]))
    await pool.start()
    answers: list[str] = []

    async def send(channel: grpc.aio.Channel, timeout_s: float) -> StringValue:
        answer: StringValue = await ProbeClient(channel).UnaryUnary(StringValue(value="a"), timeout=timeout_s)
        return answer

    async def call() -> None:
        while True:
            answers.append((await pool.call(send, timeout_s=5)).value)

    calling = [asyncio.ensure_future(call()) for _ in range(callers)]
    try:
        yield answers
        count = len(answers)
        await eventually(lambda: len(answers) > count + 100, timeout_s=20, description="calls are answered")
        assert [each.exception() for each in calling if each.done()] == []
    finally:
        for each in calling:
            each.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
        await pool.close()


async def test_a_worker_that_dies_or_leaves_is_not_missed_and_comes_back(workers: Workers) -> None:
    await workers.until_all_listen()
    for number in (signal.SIGKILL, signal.SIGTERM):
        async with patient_calls(workers.address) as answers:
            await eventually(lambda: len(answers) > 50, timeout_s=20, description="calls are answered")
            victim = await ask_alone(workers.address)
            os.kill(victim, number)
            await workers.until_gone(victim)
            for _ in range(5):
                assert await ask_alone(workers.address) != victim
            await workers.until_all_listen()


async def test_killing_the_parent_leaves_neither_workers_nor_ports(workers: Workers) -> None:
    pids = await workers.until_all_listen()
    workers.parent.kill()
    await eventually(lambda: not any(map(psutil.pid_exists, pids)), description="the workers have ended")
    with socket.create_server(("127.0.0.1", int(workers.address.rpartition(":")[2]))):
        pass


async def test_the_parent_ends_when_its_workers_have_finished_what_they_were_doing(workers: Workers) -> None:
    await workers.until_all_listen()
    async with grpc.aio.insecure_channel(workers.address) as channel:
        client = ProbeClient(channel)
        slow = asyncio.ensure_future(client.send("UnaryUnary", "sleep 1", timeout=10))
        await client.until(asleep=1)
        workers.parent.terminate()
        assert await slow == "sleep 1"
    assert await asyncio.to_thread(workers.parent.wait, 20) == 0


def test_workers_that_cannot_start_end_the_service_with_their_status() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.mesh.transports.probe_process", "--workers", "2"],
        cwd=_ROOT,
        env={**os.environ, "LEPTON_TRANSPORT": "grpc", "LEPTON_TLS_CERT_FILE": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=_START_S,
        check=False,
    )
    assert done.returncode == 1
    assert "TLS needs both" in done.stderr


async def test_a_parent_that_was_stopped_for_a_while_goes_on(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    starts.touch()
    # ends at once each time, so that the parent waits longer and longer before it starts it again
    command = ["/bin/sh", "-c", f"echo started >> '{starts}'"]
    orders = {"command": command, "environments": [{}], "held": [], "log_format": "text"}
    parent = psutil.Popen([sys.executable, parent_program.__file__, json.dumps(orders)])
    try:

        async def until_started(times: int) -> None:
            enough = f"{times} starts"
            await eventually(lambda: starts.read_text().count("started") >= times, timeout_s=20, description=enough)

        await until_started(4)  # and next after 0.8 s
        parent.suspend()
        woken_s = time.monotonic() + 1.0
        await eventually(lambda: time.monotonic() > woken_s, description="the time for the next start has passed")
        parent.resume()
        await until_started(5)
        assert parent.is_running()
    finally:
        parent.terminate()
        assert parent.wait(20) == 0


def test_a_port_that_is_held_is_taken_for_all_others() -> None:
    with reserve("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(FailedPrecondition, match="Cannot listen"):
        reserve("127.0.0.1", other.getsockname()[1])
