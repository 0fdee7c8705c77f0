"""Clients that are not grpcio: calls as grpc-go puts them on the wire, and connections that only ping for a while."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import h2.events
import h2.exceptions
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.integration.mesh.transports.conftest import ProbeProcess
from tests.integration.mesh.transports.raw_http2 import RawClient

_BDP_PING = bytes((2, 4, 16, 16, 9, 14, 7, 7))
"""grpc-go measures the connection with it, whenever data come."""
_PING_INTERVAL_S = {"grpc": 10.2, "pyvoy": 0.1}
"""What is allowed; Envoy does not mind more pings as long as their answers are read."""
_PINGS = 4
"""The first one counts as nothing, and a server that means its clients to ping less often has had enough after two."""


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("4999950u", 5), ("5000m", 5), ("5S", 5), ("2M", 120), ("1H", 3600), ("99999999u", 100)],
)
async def test_a_call_of_grpc_go_is_answered_within_the_time_that_it_gives(
    probe: ProbeProcess, timeout: str, seconds: float
) -> None:
    raw = await RawClient.connect(probe.port)
    fields = (("user-agent", "grpc-go/1.76.0"), ("grpc-timeout", timeout), ("grpc-accept-encoding", "gzip"))
    stream = raw.begin("UnaryUnary", *fields)
    raw.send(stream, "metadata", end=False)
    raw.h2.increment_flow_control_window(1 << 20)
    raw.h2.increment_flow_control_window(1 << 20, stream)
    raw.h2.ping(_BDP_PING)
    await raw.flush()
    await asyncio.wait_for(raw.until(h2.events.PingAckReceived), 5)
    await _half_close(raw, stream)
    status = await asyncio.wait_for(raw.status(stream), 5)
    assert (status["grpc-status"], status["content-type"]) == ("0", "application/grpc")
    sent = _answer(raw, stream)
    assert sent["user-agent"] == "grpc-go/1.76.0"
    assert seconds - 1 < sent["remaining_s"] <= seconds + 0.1
    await raw.close()


async def test_several_calls_of_one_connection_may_be_half_closed_late_and_in_another_order(
    probe: ProbeProcess,
) -> None:
    raw = await RawClient.connect(probe.port)
    streams = [raw.begin("UnaryUnary") for _ in range(3)]
    for stream in streams:
        raw.send(stream, f"call {stream}", end=False)
    await raw.flush()
    for stream in reversed(streams):
        await _half_close(raw, stream)
        assert (await asyncio.wait_for(raw.status(stream), 5))["grpc-status"] == "0"
        assert _message(raw, stream) == f"call {stream}"
    await raw.close()


async def test_a_client_without_calls_may_ping_every_ten_seconds(probe: ProbeProcess, transport: str) -> None:
    raw = await RawClient.connect(probe.port)
    for number in range(_PINGS):
        raw.h2.ping(number.to_bytes(8, "big"))
        await raw.flush()
        await raw.pump_for(_PING_INTERVAL_S[transport] if number + 1 < _PINGS else 1)
    assert sum(isinstance(event, h2.events.PingAckReceived) for event in raw.seen) == _PINGS
    assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in raw.seen)
    assert (await asyncio.wait_for(raw.call("UnaryUnary", "a"), 5))["grpc-status"] == "0"
    await raw.close()


async def _half_close(raw: RawClient, stream: int) -> None:
    """In a frame of its own after the message. The server need not wait for it, and has perhaps answered already."""
    with contextlib.suppress(h2.exceptions.StreamClosedError):
        raw.h2.end_stream(stream)
        await raw.flush()


def _message(raw: RawClient, stream: int) -> str:
    data = b"".join(
        event.data for event in raw.seen if isinstance(event, h2.events.DataReceived) and event.stream_id == stream
    )
    return StringValue.FromString(data[5:]).value


def _answer(raw: RawClient, stream: int) -> Any:
    return json.loads(_message(raw, stream))
