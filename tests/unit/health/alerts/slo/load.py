"""Requests of a model as health measures them: Poisson arrivals that follow the day, failures, times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import NAME, Series
from tests.promql.series import MemoryReader

START_S = 1_800_000_000.0
SCRAPE_S = 15.0
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0)

Share = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Seconds since the start → share of the requests."""


def constant(share: float) -> Share:
    return lambda times_s: np.full(len(times_s), share)


def between(share: float, start_s: float, end_s: float, *, else_share: float = 0.0) -> Share:
    """This share in that time, another one else."""
    return lambda times_s: np.where((times_s >= start_s) & (times_s < end_s), share, else_share)


def load(
    hours: float, *, rate_per_s: float, failing: Share, slow: Share, seed: int, model: str = "cats"
) -> MemoryReader:
    """The counters of one model on two replicas; `slow` is the share of answers that take more than 250 ms."""
    chance = np.random.default_rng(seed)
    since_s = np.arange(0.0, hours * 3600, SCRAPE_S)
    daily = 1 + 0.7 * np.sin(2 * np.pi * since_s / 86400)
    series: list[Series] = []
    for instance in ("a:1", "b:1"):
        arrived = chance.poisson(rate_per_s / 2 * SCRAPE_S * daily)
        failed = chance.binomial(arrived, failing(since_s))
        cancelled = chance.binomial(arrived - failed, 0.01)
        answered = arrived - failed - cancelled
        labels = {"model": "cats", "version": "1", "instance": instance}
        counts = {"OK": answered, "UNAVAILABLE": failed, "CANCELLED": cancelled}
        for code, each in counts.items():
            series.append(_counter("lepton_requests_total", since_s, each, {**labels, "code": code}))
        series += _histogram(chance, since_s, answered, slow(since_s), labels)
    return MemoryReader(series)


def _histogram(
    chance: np.random.Generator,
    since_s: NDArray[np.float64],
    answered: NDArray[np.int64],
    slow: NDArray[np.float64],
    labels: dict[str, str],
) -> Sequence[Series]:
    late = chance.binomial(answered, slow)
    fast = answered - late
    below = {0.05: fast // 2, 0.1: fast * 9 // 10, 0.25: fast, 0.5: fast + late // 2, 1.0: answered}
    name = "lepton_request_seconds"
    buckets = [
        _counter(f"{name}_bucket", since_s, count, {**labels, "le": f"{bound:g}"}) for bound, count in below.items()
    ]
    return [*buckets, _counter(f"{name}_bucket", since_s, answered, {**labels, "le": "+Inf"})]


def _counter(name: str, since_s: NDArray[np.float64], counts: NDArray[np.int64], labels: dict[str, str]) -> Series:
    return Series({NAME: name, **labels}, START_S + since_s, np.cumsum(counts).astype(np.float64))
