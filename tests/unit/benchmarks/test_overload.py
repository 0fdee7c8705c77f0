"""The overload suite: what samples of calls mean, and what Envoy is told."""

from __future__ import annotations

import asyncio
import json
import math

import hpack
import pytest

from benchmarks.http2 import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, message
from benchmarks.overload.connection import LOST, Connection
from benchmarks.overload.curve import Point, peak, quantile, recovery_s
from benchmarks.overload.envoy import configuration
from benchmarks.overload.generator import Sample

_OK, _RESOURCE_EXHAUSTED, _UNAVAILABLE, _DEADLINE_EXCEEDED = 0, 8, 14, 4


def sample(due_s: float = 0.0, took_s: float = 0.1, code: int = _OK, *, late_s: float = 0.0) -> Sample:
    return Sample(0, due_s, late_s, took_s, code)


def closed_loop(goodput_per_s: float) -> Point:
    return Point.of([sample()] * int(10 * goodput_per_s), 10)


def test_goodput_counts_answers_in_time_and_latencies_those_that_were_late_too() -> None:
    calls = [sample(took_s=0.1)] * 97 + [sample(took_s=3.0)] * 3
    point = Point.of(calls, 10)
    assert (point.per_s, point.goodput_per_s) == (10.0, 9.7)
    assert point.p99_ms == 3000


def test_refusals_are_told_from_failures() -> None:
    calls = [sample(), sample(code=_RESOURCE_EXHAUSTED, took_s=0.002), sample(code=_UNAVAILABLE, took_s=0.004)]
    point = Point.of([*calls, sample(code=_DEADLINE_EXCEEDED)], 1)
    assert (point.refused, point.failed) == (0.5, 0.25)
    assert point.refusal_p99_ms == 4
    assert math.isnan(Point.of([sample()], 1).refusal_p99_ms)


def test_a_closed_loop_counts_what_was_answered_within_its_time_and_after_its_warm_up() -> None:
    calls = [sample(0.1), sample(5.0), sample(9.95)]
    assert Point.of_closed_loop(calls, 10).goodput_per_s == 1 / 8


def test_the_peak_is_the_first_that_answers_nearly_as_much_as_any() -> None:
    loops = [closed_loop(each) for each in (50, 96, 98, 100)]
    assert peak(loops) is loops[2]


def test_all_is_well_again_when_it_stays_well() -> None:
    refused = [sample(10 + tenth / 10, code=_RESOURCE_EXHAUSTED) for tenth in range(12)]
    answered = [sample(11.2 + tenth / 10) for tenth in range(40)]
    assert recovery_s([*refused, *answered], 10.0, tolerable_s=0.2) == 1.5
    assert recovery_s(answered, 11.0, tolerable_s=0.2) == 0.0
    assert recovery_s(answered, 11.0, tolerable_s=0.05) == math.inf, "answers that come late are not well"
    assert recovery_s(refused, 10.0, tolerable_s=0.2) == math.inf


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert math.isnan(quantile([], 0.99))
    assert quantile([3, 1, 2], 0.99) == 3


def test_envoy_limits_calls_to_what_it_is_given_whether_port_or_socket() -> None:
    for backend, expected in (("unix:/run/triton.sock", "/run/triton.sock"), ("127.0.0.1:8001", "8001")):
        document = json.dumps(configuration(1234, backend))
        assert expected in document
        assert "AdaptiveConcurrency" in document


class Wire(asyncio.Transport):
    """What a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


def headers(stream: int, *fields: tuple[str, str], ends: bool = False) -> bytes:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return frame(HEADERS, END_HEADERS | END_STREAM * ends, stream, encoder.encode(fields))


_STARTED, _ANSWER = (":status", "200"), message(b"answer")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (headers(1, _STARTED) + frame(DATA, 0, 1, _ANSWER) + headers(1, ("grpc-status", "0"), ends=True), 0),
        (headers(1, _STARTED, ("grpc-status", "8"), ends=True), 8),
        (headers(1, (":status", "503"), ends=True), 14),
        (frame(RST_STREAM, 0, 1, bytes(4)), 14),
        (frame(GOAWAY, 0, 0, bytes(8)), 14),
    ],
)
async def test_a_connection_understands_how_its_call_ended_however_its_bytes_arrive(answer: bytes, code: int) -> None:
    for size in (len(answer), 1):
        connection, wire = Connection("/pkg.Service/Method", b"request"), Wire()
        connection.connection_made(wire)
        call = asyncio.ensure_future(connection.call())
        await asyncio.sleep(0)
        assert message(b"request") in wire.written
        for begin in range(0, len(answer), size):
            connection.data_received(answer[begin : begin + size])
        assert await call == code


async def test_calls_of_a_connection_that_is_lost_are_lost() -> None:
    connection = Connection("/pkg.Service/Method", b"request")
    connection.connection_made(Wire())
    call = asyncio.ensure_future(connection.call())
    await asyncio.sleep(0)
    connection.connection_lost(None)
    assert await call == LOST == await connection.call()
