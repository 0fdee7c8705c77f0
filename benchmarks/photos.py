"""Photos end to end: JPEG in, labels out, beside the bare loop on the same cores in the same run."""

from __future__ import annotations

import os
import secrets
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from benchmarks import bare
from benchmarks.load import Call, Measurement, closed_loop
from benchmarks.report import Report
from benchmarks.usage import cpu_seconds, resident_mib
from examples.efficientnet_lite0 import NAME, photos
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from tests.platform import Platform

_ROUNDS = 3
_CALLERS = (16, 64)


@dataclass
class _Case:
    """One way of calling, measured several times, each time right after the bare loop."""

    callers: int
    sampled: bool
    ratios: list[float] = field(default_factory=list)
    rounds: list[Measurement] = field(default_factory=list)
    cpu_s_per_1000: float = 0.0


async def measure(platform: Platform, model: Path, *, seconds: float) -> list[Report]:
    """Throughput with many callers, and latency with one."""
    content = [photo.path.read_bytes() for photo in photos()]
    address = platform.state.addresses["inference"].split(",")[0]
    cores = os.cpu_count() or 1
    async with grpc.aio.insecure_channel(address) as channel:
        cases = [_Case(callers, sampled) for callers in _CALLERS for sampled in (False, True)]
        bare_per_s: list[float] = []
        for _ in range(_ROUNDS):
            bare_per_s.append(bare.photos_per_s(model, content, processes=cores, seconds=seconds))
            for case in cases:
                await _run(case, _caller(channel, content, sampled=case.sampled), platform, seconds, bare_per_s[-1])
        one = await closed_loop(_caller(channel, content, sampled=False), callers=1, seconds=seconds)
    alone_ms = bare.latency_ms(model, content, seconds=seconds)
    return [_throughput(cases, bare_per_s, cores), _latency(one, alone_ms), _memory(resident_mib(platform))]


async def _run(case: _Case, call: Call, platform: Platform, seconds: float, bare_per_s: float) -> None:
    before_s = cpu_seconds(platform)
    warm_up_s = 1.0
    measured = await closed_loop(call, callers=case.callers, seconds=seconds, warm_up_s=warm_up_s)
    used_s = cpu_seconds(platform) - before_s
    case.cpu_s_per_1000 = used_s / (measured.per_s * (seconds + warm_up_s)) * 1000
    case.rounds.append(measured)
    case.ratios.append(measured.per_s / bare_per_s)


def _caller(channel: grpc.aio.Channel, content: list[bytes], *, sampled: bool) -> Call:
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    requests = [
        inference_pb2.PredictRequest(
            model=common_pb2.ModelRef(name=NAME),
            items=[common_pb2.Item(inputs={"photo": common_pb2.Value(data=photo)})],
        )
        for photo in content
    ]
    flags = "01" if sampled else "00"

    async def call(number: int) -> object:
        traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"
        metadata = (("traceparent", traceparent),)
        return await stub.Predict(requests[number % len(requests)], timeout=60, metadata=metadata)

    return call


def _throughput(cases: list[_Case], bare_per_s: list[float], cores: int) -> Report:
    rows = [["bare loop", "–", f"{statistics.median(bare_per_s):.0f}", "1.00", "–", "–", f"{cores} processes"]]
    for case in cases:
        last = case.rounds[-1]
        rows.append(
            [
                f"Lepton, {case.callers} callers",
                "all" if case.sampled else "none",
                f"{statistics.median(each.per_s for each in case.rounds):.0f}",
                f"{statistics.median(case.ratios):.2f}",
                f"{last.p50_ms:.0f}",
                f"{last.p99_ms:.0f}",
                f"{case.cpu_s_per_1000:.1f}",
            ]
        )
    columns = ("photos end to end", "traced", "photos/s", "ratio", "p50 ms", "p99 ms", "CPU s per 1,000")
    note = f"Ratio: median of {len(bare_per_s)} rounds, each against the bare loop just before. Load shares the cores."
    return Report("Photos end to end", columns, rows, note)


def _latency(one: Measurement, alone_ms: float) -> Report:
    rows = [
        ["bare loop, one thread", f"{alone_ms:.1f}", "1.00"],
        ["Lepton, one caller", f"{one.p50_ms:.1f}", f"{one.p50_ms / alone_ms:.2f}"],
    ]
    return Report("One photo at a time", ("", "p50 ms", "ratio"), rows)


def _memory(mib: dict[str, float]) -> Report:
    rows = [[name, f"{value:.0f}"] for name, value in mib.items()] + [["together", f"{sum(mib.values()):.0f}"]]
    note = "Resident sizes right after this load; pages of code that several processes share count in each."
    return Report("Memory of the four services after photos", ("process", "MiB"), rows, note)
