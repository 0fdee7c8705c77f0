"""Limits: what is too much, too large or too slow is refused, and callers hear why."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import h2.events
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.errors import ResourceExhausted
from lepton_ai.mesh.errors import from_rpc_error
from tests.integration.mesh.transports.conftest import ProbeClient, ProbeProcess, probe_process, undisturbed
from tests.integration.mesh.transports.raw_http2 import RawClient

_MB = 1 << 20
_MAX_CALLS = 5


@pytest.fixture(scope="module")
def probe(transport: str) -> Iterator[ProbeProcess]:
    """A process with limits that are quickly reached."""
    limits = {"max_message_bytes": _MB, "max_concurrent_streams": 10, "max_concurrent_rpcs": _MAX_CALLS}
    with probe_process(transport, **limits, default_timeout_s=1) as process:
        yield process


async def test_a_message_over_the_limit_is_refused(client: ProbeClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.UnaryUnary(StringValue(value="x" * 2 * _MB), timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_message_over_the_limit_is_refused_before_it_is_there(probe: ProbeProcess, transport: str) -> None:
    if transport == "grpc":
        pytest.skip("grpc.aio's server refuses it when all of it is there")
    raw = await RawClient.connect(probe.port)
    stream = raw.begin("UnaryUnary")
    raw.h2.send_data(stream, b"\0" + struct.pack(">I", 1 << 30))
    await raw.flush()
    status = await asyncio.wait_for(raw.status(stream), 5)
    assert status["grpc-status"] == "8"
    await raw.close()


async def test_an_answer_over_the_limit_is_not_sent(client: ProbeClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.UnaryUnary(StringValue(value=f"size {2 * _MB}"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.UnaryStream(StringValue(value=f"2 {2 * _MB}"), timeout=5).read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_the_service_takes_are_refused_and_health_is_still_answered(
    client: ProbeClient, channel: grpc.aio.Channel
) -> None:
    calls = [client.UnaryUnary(StringValue(value="sleep 60"), timeout=30) for _ in range(_MAX_CALLS)]
    refused = None
    async with asyncio.timeout(5):
        while refused is None:
            try:
                await client.send("UnaryUnary", "a", timeout=5)
            except grpc.aio.AioRpcError as error:
                refused = from_rpc_error(error)
    assert isinstance(refused, ResourceExhausted)
    assert refused.retry_after_s is not None
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for call in calls:
        call.cancel()
    await client.until(asleep=0)


async def test_a_connection_has_a_limit_of_calls(probe: ProbeProcess) -> None:
    raw = await RawClient.connect(probe.port)
    await asyncio.wait_for(raw.until(h2.events.RemoteSettingsChanged), 5)
    assert raw.h2.remote_settings.max_concurrent_streams == 10
    await raw.close()


@pytest.mark.parametrize("fields", [[("padding", "x" * 40_000)], [(f"field-{n}", "x" * 100) for n in range(400)]])
async def test_headers_over_the_limit_are_refused(
    probe: ProbeProcess, transport: str, client: ProbeClient, fields: list[tuple[str, str]]
) -> None:
    if transport == "grpc":
        pytest.skip("grpc.aio's server tells clients its limit but does not hold them to it")
    async with undisturbed(client):
        raw = await RawClient.connect(probe.port)
        status = await asyncio.wait_for(raw.call("UnaryUnary", "a", *fields), 5)
        assert status.get("grpc-status") != "0"
        await raw.close()


async def test_metadata_within_the_limit_arrives(client: ProbeClient) -> None:
    metadata = (("padding", "x" * 6_000),)
    assert (await client.UnaryUnary(StringValue(value="a"), metadata=metadata, timeout=5)).value == "a"


async def test_pings_are_answered(probe: ProbeProcess) -> None:
    raw = await RawClient.connect(probe.port)
    raw.h2.ping(b"12345678")
    await raw.flush()
    await asyncio.wait_for(raw.until(h2.events.PingAckReceived), 5)
    await raw.close()


async def test_a_message_that_never_ends_ends_with_the_default_deadline(
    probe: ProbeProcess, transport: str, client: ProbeClient
) -> None:
    if transport == "grpc":
        pytest.skip("grpc.aio's server waits for a message as long as its client likes")
    async with undisturbed(client):
        raw = await RawClient.connect(probe.port)
        stream = raw.begin("UnaryUnary")
        raw.h2.send_data(stream, b"\0" + struct.pack(">I", 100) + b"x")
        await raw.flush()
        assert (await asyncio.wait_for(raw.status(stream), 5))["grpc-status"] == "4"
        await raw.close()
