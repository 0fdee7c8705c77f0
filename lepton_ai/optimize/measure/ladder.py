"""Rows a call, threads a call and calls at once: every step of the ladder, measured on this machine."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.optimize.measure.engines import Run, open_onnx
from lepton_ai.optimize.measure.speed import batch_of
from lepton_ai.tensors import Array

_NEARLY = 0.95
"""Of the best throughput: a shorter call that gives as much is better."""
_WARM_UPS, _LEAST_CALLS = 2, 3


@dataclass(frozen=True)
class Rung:
    """A way to run a model, and what came of it."""

    batch: int
    threads: int
    """For one call."""
    instances: int
    """Calls at once, each with a session of its own."""
    rows_per_s: float
    call_ms: float
    """The median call."""


def climb(path: Path, rows: Mapping[str, Array], *, max_batch_size: int, cores: int, step_s: float) -> list[Rung]:
    """Run an ONNX file for `step_s` seconds in every way that keeps all cores busy, and with one caller on one thread.

    Rows a call: 1, 2, 4, … and `max_batch_size`. What else runs on the machine is in the figures, so compare those of
    one run only.
    """
    rungs = []
    for threads, instances in ways(cores):
        runs = [open_onnx(path, threads=threads) for _ in range(instances)]
        for batch in batches(max_batch_size):
            times = _timed(runs, batch_of(rows, batch), step_s)
            per_s = batch * sum(len(each) for each in times) / max(sum(each) for each in times)
            call_ms = 1e3 * statistics.median([took for each in times for took in each])
            rungs.append(Rung(batch, threads, instances, per_s, call_ms))
    return rungs


def ways(cores: int) -> list[tuple[int, int]]:
    """Threads a call and calls at once: one alone, then every power of two of threads that fills the cores."""
    found = [(1, 1)]
    threads = 1
    while threads <= cores:
        found.append((threads, cores // threads))
        threads *= 2
    return list(dict.fromkeys([*found, (cores, 1)]))


def batches(most: int) -> list[int]:
    """1, 2, 4, … and the largest."""
    return sorted({1 << power for power in range(most.bit_length()) if 1 << power <= most} | {most})


def best_rung(rungs: Sequence[Rung]) -> Rung:
    """The one with the shortest call among those that give nearly as many rows a second as the best."""
    most = max(rung.rows_per_s for rung in rungs)
    return min((rung for rung in rungs if rung.rows_per_s >= _NEARLY * most), key=lambda rung: rung.call_ms)


def _timed(runs: Sequence[Run], feeds: Mapping[str, Array], step_s: float) -> list[list[float]]:
    """How long the calls of each took, in seconds, all at once."""
    together = threading.Barrier(len(runs))

    def call(run: Run) -> list[float]:
        for _ in range(_WARM_UPS):
            run(feeds)
        together.wait()
        times: list[float] = []
        end_s = time.perf_counter() + step_s
        while time.perf_counter() < end_s or len(times) < _LEAST_CALLS:
            begin_s = time.perf_counter()
            run(feeds)
            times.append(time.perf_counter() - begin_s)
        return times

    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(call, runs))
