"""One PredictStream with small rows: how many a second, by how full its messages are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
import numpy as np

from benchmarks.report import Report
from benchmarks.usage import cpu_seconds
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import common_pb2, inference_pb2
from tests.platform import Platform

_METHOD = "/lepton.v1.InferenceService/PredictStream"
_REQUESTS_UNDER_WAY = 256
_ROUNDS = 3
_Response = inference_pb2.PredictStreamResponse

TritonRowsPerS = Callable[[], Awaitable[float]]
"""Measures what Triton does when it is asked directly, one row a call."""


@dataclass(frozen=True)
class Filling:
    """What a message holds."""

    rows: int
    """In a request."""
    requests: int
    """In a message."""

    @property
    def name(self) -> str:
        rows = f"{self.rows} row{'s' * (self.rows > 1)} a"
        return f"{rows} message" if self.requests == 1 else f"{rows} request, {self.requests} requests a message"


FILLINGS = (Filling(1, 1), Filling(8, 1), Filling(1, 64), Filling(8, 64))


async def measure_streams(
    platform: Platform, channel: grpc.aio.Channel, triton: TritonRowsPerS, model: str, width: int, *, seconds: float
) -> Report:
    """Rows a second of each filling in turns with Triton asked directly."""
    seen: dict[Filling, list[tuple[float, float, float]]] = {filling: [] for filling in FILLINGS}
    for _ in range(_ROUNDS):
        base = await triton()
        for filling in FILLINGS:
            messages = ready_made(filling, model, width)
            before_s, begun_s = cpu_seconds(platform), time.perf_counter()
            rows = await stream_rows(channel, messages, filling, seconds=seconds)
            took_s = time.perf_counter() - begun_s
            seen[filling].append((rows / took_s, rows / took_s / base, (cpu_seconds(platform) - before_s) / rows * 1e3))
    rows_table: list[Sequence[str]] = []
    for filling, runs in seen.items():
        per_s, ratio, cpu_s = np.median(np.array(runs), axis=0)
        rows_table.append([filling.name, f"{per_s:,.0f}", f"{ratio:.2f}", f"{cpu_s:.3f}"])
    note = (
        f"One stream, {_REQUESTS_UNDER_WAY} requests under way, medians of {_ROUNDS} rounds. Ratio: to Triton asked "
        "directly by 32 callers, one row a call. The load sends ready-made bytes, from the same cores."
    )
    columns = (f"PredictStream, rows of {width} floats", "rows/s", "ratio", "CPU s per 1,000 rows")
    return Report("Small rows over a stream", columns, rows_table, note)


def ready_made(filling: Filling, model: str, width: int) -> list[bytes]:
    """Encoded messages whose ids are unique among those that are under way."""
    tensor = to_proto("x", np.zeros((filling.rows, width), np.float32))
    reference = common_pb2.ModelRef(name=model)
    count = 2 * _REQUESTS_UNDER_WAY
    requests = [
        inference_pb2.PredictStreamRequest(
            request=inference_pb2.PredictRequest(model=reference, tensors=[tensor], request_id=str(number))
        )
        for number in range(count)
    ]
    if filling.requests == 1:
        return [each.SerializeToString() for each in requests]
    parts = [requests[begin : begin + filling.requests] for begin in range(0, count, filling.requests)]
    return [inference_pb2.PredictStreamRequest(requests=part).SerializeToString() for part in parts]


async def stream_rows(channel: grpc.aio.Channel, messages: Sequence[bytes], filling: Filling, *, seconds: float) -> int:
    """How many rows one stream answered. Raises RuntimeError with the first error."""
    call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(_METHOD)()
    places = asyncio.Semaphore(_REQUESTS_UNDER_WAY)
    end_s = time.perf_counter() + seconds

    async def write() -> int:
        sent = 0
        while time.perf_counter() < end_s:
            for _ in range(filling.requests):
                await places.acquire()
            await call.write(messages[sent % len(messages)])
            sent += 1
        await call.done_writing()
        return sent * filling.requests

    writer = asyncio.ensure_future(write())
    answered = 0
    while isinstance(message := await call.read(), bytes):
        count = 1
        if filling.requests > 1 or answered % 1024 == 0:
            answers = _Response.FromString(message)
            count = len(answers.responses) or 1
            _check((*answers.responses, answers)[0])
        answered += count
        for _ in range(count):
            places.release()
    if answered != await writer:
        raise RuntimeError("Some requests have no answer.")
    return answered * filling.rows


def _check(answer: _Response) -> None:
    if answer.HasField("error"):
        raise RuntimeError(answer.error.message)
