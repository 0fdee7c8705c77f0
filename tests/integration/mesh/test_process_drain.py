"""A real process gets real signals: it finishes what it has begun, tells everybody in the right order and exits 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.testing import eventually, running
from tests.integration.mesh.echo import EchoStub
from tests.integration.mesh.test_span_export import collecting
from tests.transports import TRANSPORTS

_ROOT = Path(__file__).parents[3]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

Start = Callable[..., Awaitable[tuple[Process, grpc.aio.Channel]]]


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def start(transport: str) -> AsyncIterator[Start]:
    """Starts echo processes with the given settings; what is left of them at the end is killed."""
    processes: list[Process] = []
    channels: list[grpc.aio.Channel] = []

    async def start_one(**settings: object) -> tuple[Process, grpc.aio.Channel]:
        process = await _spawn(transport=transport, **settings)
        processes.append(process)
        assert process.stdout is not None
        words = (await asyncio.wait_for(process.stdout.readline(), 30)).split()
        assert words[0] == b"listening"
        channels.append(grpc.aio.insecure_channel(words[1].decode()))
        return process, channels[-1]

    yield start_one
    for channel in channels:
        await channel.close()
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _spawn(**settings: object) -> Process:
    variables = {f"LEPTON_{name.upper()}": str(value) for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.mesh.echo_process"),
        cwd=_ROOT,
        env={**os.environ, **variables},
        stdout=PIPE,
        stderr=PIPE,
    )


async def health_of(channel: grpc.aio.Channel) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    return int(answer.status)


async def until_serving(channel: grpc.aio.Channel) -> None:
    async def serving() -> bool:
        return await health_of(channel) == SERVING

    await eventually(serving, timeout_s=20, description="the process says SERVING")


async def exit_of(process: Process, *, timeout_s: float = 10) -> tuple[int | None, str, str]:
    stdout, stderr = await asyncio.wait_for(process.communicate(), timeout_s)
    return process.returncode, stdout.decode(), stderr.decode()


async def started(stub: EchoStub, shape: str, text: str) -> asyncio.Future[str]:
    """A call that the server is working on."""
    call = asyncio.ensure_future(stub.send(shape, text, timeout=20))
    await stub.send("UnaryUnary", "0", timeout=5)  # over the same connection, so it is answered after the call arrived
    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_slow_calls_finish_and_the_process_exits_0(start: Start, number: signal.Signals) -> None:
    process, channel = await start(propagation_s=0.1)
    await until_serving(channel)
    slow = await started(EchoStub(channel), "UnaryUnary", "1")
    process.send_signal(number)
    assert await slow == "1"
    code, stdout, stderr = await exit_of(process)
    assert (code, stdout.split()) == (0, ["closed", "end"]), stderr
    assert "Traceback" not in stderr


async def test_while_the_news_spreads_health_is_not_serving_and_late_calls_are_answered(start: Start) -> None:
    process, channel = await start(propagation_s=1.5)
    await until_serving(channel)
    process.send_signal(signal.SIGTERM)

    async def not_serving() -> bool:
        return await health_of(channel) == NOT_SERVING

    await eventually(not_serving, description="the process says NOT_SERVING")
    assert await EchoStub(channel).send("UnaryUnary", "0", timeout=5) == "0"
    assert (await exit_of(process))[0] == 0


async def test_calls_that_do_not_end_are_cut_after_drain_s(start: Start) -> None:
    process, channel = await start(propagation_s=0, drain_s=0.5)
    await until_serving(channel)
    endless = await started(EchoStub(channel), "UnaryUnary", "60")
    begin_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    with pytest.raises(grpc.aio.AioRpcError):
        await endless
    assert (await exit_of(process))[0] == 0
    assert 0.4 < time.monotonic() - begin_s < 5


async def test_a_second_signal_cuts_the_drain_short(start: Start) -> None:
    process, channel = await start(propagation_s=0, drain_s=60)
    await until_serving(channel)
    endless = await started(EchoStub(channel), "UnaryUnary", "60")
    process.send_signal(signal.SIGTERM)

    async def not_serving() -> bool:
        try:
            return await health_of(channel) == NOT_SERVING
        except grpc.aio.AioRpcError:  # the connection was told to go away, which comes after NOT_SERVING
            return True

    await eventually(not_serving, description="the drain has begun")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(grpc.aio.AioRpcError):
        await endless
    assert (await exit_of(process))[0] == 0


async def test_a_signal_before_it_is_ready_ends_the_preparation(start: Start) -> None:
    process, channel = await start(prepare_s=60, propagation_s=0)
    assert await health_of(channel) == NOT_SERVING
    process.send_signal(signal.SIGTERM)
    assert (await exit_of(process))[0] == 0


async def test_the_last_spans_are_sent_before_the_exit(start: Start) -> None:
    with collecting() as (collector, address):
        process, channel = await start(propagation_s=0, otlp_endpoint=address, trace_ratio=1)
        await until_serving(channel)
        slow = await started(EchoStub(channel), "UnaryUnary", "0.3")
        process.send_signal(signal.SIGTERM)
        await slow
        assert (await exit_of(process))[0] == 0
        assert collector.names.count("lepton.test.Echo/UnaryUnary") == 2


async def test_a_drain_without_a_collector_takes_no_longer_than_a_few_seconds(start: Start) -> None:
    with collecting() as (_, address):
        pass
    process, channel = await start(propagation_s=0, otlp_endpoint=address, trace_ratio=1)
    await until_serving(channel)
    await EchoStub(channel).send("UnaryUnary", "0", timeout=5)
    process.send_signal(signal.SIGTERM)
    code, _, stderr = await exit_of(process, timeout_s=6)
    assert code == 0
    assert stderr.count("no collector") == 1


async def test_a_taken_port_is_one_line_that_says_what_to_do(transport: str) -> None:
    async with running() as served:
        port = served.address.rpartition(":")[2]
        code, _, stderr = await exit_of(await _spawn(transport=transport, port=port))
        assert await health_of(served.channel) == SERVING
    assert code == 1
    assert f"Cannot listen on 127.0.0.1, port {port}" in stderr
    assert "LEPTON_PORT" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "nobody.invalid"])
async def test_an_address_of_somebody_else_is_one_line_too(transport: str, host: str) -> None:
    code, _, stderr = await exit_of(await _spawn(transport=transport, host=host))
    assert code == 1
    assert f"Cannot listen on {host}" in stderr
    assert "Traceback" not in stderr


async def test_a_host_may_be_a_name(start: Start) -> None:
    _, channel = await start(host="localhost")
    await until_serving(channel)


async def test_a_wrong_setting_is_one_line_that_names_the_variable(transport: str) -> None:
    code, _, stderr = await exit_of(await _spawn(transport=transport, trace_ratio=7))
    assert code == 1
    assert "LEPTON_TRACE_RATIO" in stderr
    assert "Traceback" not in stderr
