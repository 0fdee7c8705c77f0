"""How a process ends on each transport: no call is lost when it drains, and nothing of it is left when it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import h2.events
import psutil
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.testing import eventually
from tests.integration.mesh.transports.conftest import ProbeClient, ProbeProcess, probe_process
from tests.integration.mesh.transports.raw_http2 import RawClient


@asynccontextmanager
async def calling_for_ever(client: ProbeClient, *, callers: int = 8) -> AsyncIterator[list[str]]:
    """Callers that never pause nor try again; yields the answers so far. A call that fails fails the test."""
    answers: list[str] = []

    async def call() -> None:
        while True:
            answers.append(await client.send("UnaryUnary", "a", timeout=5))

    calling = [asyncio.ensure_future(call()) for _ in range(callers)]
    yield answers
    failed = [each.exception() for each in calling if each.done()]
    for each in calling:
        each.cancel()
    assert failed == []


async def test_a_process_that_leaves_under_load_loses_no_call(transport: str) -> None:
    if transport == "grpc":
        pytest.skip("grpc.aio's server drops what it has read but not begun, and so needs time for the news to spread")
    with probe_process(transport) as leaving, probe_process(transport) as staying:
        target = f"ipv4:127.0.0.1:{leaving.port},127.0.0.1:{staying.port}"
        policy = [("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')]
        async with grpc.aio.insecure_channel(target, options=policy) as channel:
            client = ProbeClient(channel)
            async with calling_for_ever(client) as answers:
                await eventually(lambda: len(answers) > 500, description="both are called")
                leaving.process.send_signal(signal.SIGTERM)
                status = await asyncio.to_thread(leaving.process.wait, 15)
                answered = len(answers)
                await eventually(lambda: len(answers) > answered + 100, description="the other one is called")
    assert status == 0


async def test_callers_are_told_to_go_while_what_they_wait_for_is_finished(transport: str) -> None:
    with probe_process(transport) as probe:
        raw = await RawClient.connect(probe.port)
        slow = raw.begin("UnaryUnary")
        raw.send(slow, "sleep 0.5")
        await raw.flush()
        assert (await raw.call("UnaryUnary", "a"))["grpc-status"] == "0"
        probe.process.send_signal(signal.SIGTERM)
        assert (await asyncio.wait_for(raw.status(slow), 5))["grpc-status"] == "0"
        await asyncio.wait_for(raw.until(h2.events.ConnectionTerminated), 5)
        assert await asyncio.to_thread(probe.process.wait, 10) == 0
        await raw.close()


async def test_watches_of_health_see_the_end(transport: str) -> None:
    with probe_process(transport) as probe:
        async with grpc.aio.insecure_channel(probe.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            probe.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await watch.read() is grpc.aio.EOF
            assert await watch.code() is grpc.StatusCode.OK


async def test_a_large_answer_is_sent_whole_before_the_end(transport: str) -> None:
    with probe_process(transport) as probe:
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(probe.address, options=options) as channel:
            client = ProbeClient(channel)
            call = client.UnaryUnary(StringValue(value=f"size {60 << 20}"), timeout=20)
            await call.initial_metadata()
            probe.process.send_signal(signal.SIGTERM)
            assert len((await call).value) == 60 << 20


async def test_a_killed_process_leaves_neither_children_nor_port_nor_files(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shared = set(os.listdir("/dev/shm"))  # noqa: PTH208 - names are all that is wanted
    with probe_process(transport) as probe:
        assert psutil.Process(probe.process.pid).children() == []
        os.kill(probe.process.pid, signal.SIGKILL)
        assert await asyncio.to_thread(probe.process.wait, 5) == -signal.SIGKILL
        with socket.create_server(("127.0.0.1", probe.port)):
            pass
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
    assert not [name for name in set(os.listdir("/dev/shm")) - shared if "envoy" in name]  # noqa: PTH208


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
async def test_a_crash_is_no_clean_end(transport: str, number: signal.Signals) -> None:
    with probe_process(transport) as probe:
        os.kill(probe.process.pid, number)
        assert await asyncio.to_thread(probe.process.wait, 5) != 0


async def test_log_lines_are_json_and_none_of_them_tells_of_the_transport(transport: str) -> None:
    with probe_process(transport) as probe:
        assert await _lines_at_the_end(probe) == ["listening", "ready", "draining", "drained"]


async def _lines_at_the_end(probe: ProbeProcess) -> list[str]:
    probe.process.send_signal(signal.SIGTERM)
    _, stderr = await asyncio.to_thread(probe.process.communicate, timeout=10)
    return [json.loads(line)["message"] for line in stderr.splitlines()]
