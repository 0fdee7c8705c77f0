"""Half to five times the peak load on Lepton, and on Envoy with adaptive concurrency in front of the same Triton."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks.overload import envoy, model
from benchmarks.overload.curve import IN_TIME_S, Point, peak, recovery_s
from benchmarks.overload.generator import Job, Phase, Sample, generate
from benchmarks.report import Report
from tests.platform import Platform

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_CALLERS = (1, 2, 4, 8, 16, 32)
_LOADS = (0.5, 1.0, 2.0, 5.0, 0.5)
"""Of the peak, in this order; the last one shows how it recovers."""
_OVERLOAD = _LOADS.index(max(_LOADS))
_SHORTER = 4.0
"""The other stretches are so much shorter than the overload."""
_TIMEOUT_S = 10.0
"""Longer than an answer is worth, as a call to Triton must not end before its answer."""


@dataclass(frozen=True)
class Course:
    """One system under one load after the other."""

    points: Sequence[Point]
    recovery_s: float

    @classmethod
    def of(cls, samples: Sequence[Sample], phases: Sequence[Phase]) -> Course:
        """A point for each stretch, and how long after the overload callers were served as in the first stretch."""
        stretches: list[list[Sample]] = [[] for _ in phases]
        for sample in samples:
            stretches[sample.phase].append(sample)
        points = [Point.of(calls, phase.seconds) for calls, phase in zip(stretches, phases, strict=True)]
        over_s = sum(phase.seconds for phase in phases[: _OVERLOAD + 1])
        return cls(points, recovery_s(samples, over_s, points[0].p99_ms / 1e3))


def measure(platform: Platform, directory: Path, *, seconds: float) -> list[Report]:
    """Find the peak, then run both systems through all loads; the overload lasts `seconds`."""
    lepton = platform.state.addresses["inference"].split(",")[0]
    triton = platform.state.addresses["triton"]
    ours, theirs = _request(directory, model.NAME), _request(directory, f"{model.NAME}--v1")
    loops = find_peak(lepton, ours, seconds=seconds / _SHORTER)
    top = peak(loops)
    phases = [
        Phase(seconds if index == _OVERLOAD else seconds / _SHORTER, per_s=load * top.goodput_per_s)
        for index, load in enumerate(_LOADS)
    ]
    courses = {"Lepton": Course.of(generate(_job(lepton, ours, phases)), phases)}
    with envoy.envoy(triton, directory) as address:
        samples = generate(_job(address, theirs, phases))
    courses[f"Envoy {envoy.version()}, adaptive concurrency"] = Course.of(samples, phases)
    return [_peak_report(loops, top), _curve_report(courses, top), _verdict(courses["Lepton"], top)]


def find_peak(address: str, request: Path, *, seconds: float) -> list[Point]:
    """A point for each number of callers that wait for their answers."""
    generate(_job(address, request, [Phase(1.0, callers=_CALLERS[-1])]))  # a warm-up
    points = []
    for callers in _CALLERS:
        samples = generate(_job(address, request, [Phase(seconds, callers=callers)]))
        points.append(Point.of_closed_loop(samples, seconds))
    return points


def _job(address: str, request: Path, phases: Sequence[Phase]) -> Job:
    return Job(address, _METHOD, str(request), phases, _TIMEOUT_S)


def _request(directory: Path, name: str) -> Path:
    request = service_pb2.ModelInferRequest(model_name=name)
    request.inputs.add(name="x", datatype="FP32", shape=[1, model.WIDTH])
    request.raw_input_contents.append(np.ones(model.WIDTH, np.float32).tobytes())
    file = directory / f"{name}.request"
    file.write_bytes(request.SerializeToString())
    return file


def _peak_report(loops: Sequence[Point], top: Point) -> Report:
    rows = [
        [f"{callers}{' (the peak)' * (point is top)}", *_figures(point, top)]
        for callers, point in zip(_CALLERS, loops, strict=True)
    ]
    note = "Callers that wait for their answers. The peak is the first that answers nearly as much as any."
    return Report("Overload: the peak", ("callers", *_FIGURES), rows, note)


def _curve_report(courses: dict[str, Course], top: Point) -> Report:
    rows = []
    for name, course in courses.items():
        for index, (load, point) in enumerate(zip(_LOADS, course.points, strict=True)):
            after = ", afterwards" * (index > _OVERLOAD)
            rows.append([f"{name}: {load:g} ×{after}", *_figures(point, top), f"{point.late_p99_ms:.1f}"])
        rows.append([f"{name}: well again after", _seconds(course.recovery_s), *[""] * len(_FIGURES)])
    note = (
        "Calls at random times, whatever comes back, times the peak. Goodput: answers within "
        f"{IN_TIME_S:g} s. Latencies count from when a call was due; generator: how much later than that it was sent."
    )
    columns = ("offered load", *_FIGURES, "generator late p99 ms")
    return Report("Overload: Lepton beside Envoy before the same Triton", columns, rows, note)


_FIGURES = ("goodput/s", "of the peak", "p50 ms", "p99 ms", "p99 of the peak's", "refused", "refusal p99 ms", "failed")


def _figures(point: Point, top: Point) -> list[str]:
    return [
        f"{point.goodput_per_s:.1f}",
        f"{point.goodput_per_s / top.goodput_per_s:.2f}",
        f"{point.p50_ms:.0f}",
        f"{point.p99_ms:.0f}",
        f"{point.p99_ms / top.p99_ms:.2f}",
        f"{point.refused:.1%}",
        "–" if math.isnan(point.refusal_p99_ms) else f"{point.refusal_p99_ms:.1f}",
        f"{point.failed:.1%}",
    ]


def _verdict(course: Course, top: Point) -> Report:
    worst = course.points[_OVERLOAD]
    rows = [
        ["goodput, of the peak", "≥ 0.95", f"{worst.goodput_per_s / top.goodput_per_s:.2f}"],
        ["p99 of what is answered, of the peak's", "≤ 2", f"{worst.p99_ms / top.p99_ms:.2f}"],
        ["a refusal, p99", "< 10 ms", f"{worst.refusal_p99_ms:.1f} ms"],
        ["well again after", "≤ 5 s", _seconds(course.recovery_s)],
    ]
    return Report("Overload: Lepton at five times the peak", ("", "must", "is"), rows)


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f} s"
