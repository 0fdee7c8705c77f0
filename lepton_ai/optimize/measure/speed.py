"""How much faster a model is than the original: both run in turn, so that what disturbs one disturbs the other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lepton_ai.optimize.measure.engines import Run
from lepton_ai.optimize.measure.intervals import Estimate, resampled
from lepton_ai.tensors import Array

_WARM_UPS = 3
_LEAST_PAIRS, _MOST_PAIRS = 12, 400
_SETTLED = 0.005
"""A standard error of the ratio that is small enough."""
_SHORTEST_S = 0.002
"""Runs that are faster are timed several at a time: the clock and the call cost microseconds."""


@dataclass(frozen=True)
class Load:
    """A way to ask a model: rows at a time, threads for one call."""

    batch: int
    threads: int
    whole: bool = False
    """Whether it begins with the pipeline on what was sent, not with the model."""


@dataclass(frozen=True)
class Speed:
    """What one call takes under a load, beside the original."""

    load: Load
    time_ms: float
    """Median of one call. On one thread this is processor time, which other work on the machine does not lengthen."""
    original_ms: float
    ratio: Estimate
    """How many times as fast as the original: the median over pairs of runs."""

    @property
    def rows_per_s(self) -> float:
        """Rows that the median call answers in a second."""
        return self.load.batch / self.time_ms * 1e3


def compare_speed(
    original: Run,
    candidate: Run,
    feeds: Mapping[str, Array],
    load: Load,
    *,
    budget_s: float,
    clock: Callable[[], float] | None = None,
) -> Speed:
    """Time both in turn until the ratio is settled, or for about `budget_s` seconds, at least 12 times each.

    `clock`: by default this thread's processor time for one thread, and real time for several.
    """
    clock = clock or (time.thread_time if load.threads == 1 else time.perf_counter)
    for run in (original, candidate):
        for _ in range(_WARM_UPS):
            run(feeds)
    repeats = max(1, round(_SHORTEST_S / max(1e-6, _timed(candidate, feeds, 1, clock))))
    pairs: list[tuple[float, float]] = []
    end_s = time.monotonic() + budget_s
    while len(pairs) < _LEAST_PAIRS or (time.monotonic() < end_s and len(pairs) < _MOST_PAIRS):
        if len(pairs) % _LEAST_PAIRS == 0 and _is_settled(pairs):
            break
        first, second = (original, candidate) if len(pairs) % 2 else (candidate, original)
        times = {id(run): _timed(run, feeds, repeats, clock) for run in (first, second)}
        pairs.append((times[id(original)], times[id(candidate)]))
    before, after = np.array(pairs).T
    ratios = before / after
    estimate = resampled(lambda rows: float(np.median(ratios[rows])), len(ratios))
    return Speed(load, float(np.median(after)) * 1e3, float(np.median(before)) * 1e3, estimate)


def _is_settled(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether more pairs would not change the ratio by what anybody cares for."""
    if len(pairs) < 2 * _LEAST_PAIRS:
        return False
    ratios = np.array([before / after for before, after in pairs])
    return bool(1.25 * ratios.std() / math.sqrt(len(ratios)) < _SETTLED * ratios.mean())  # of a median


def batch_of(rows: Mapping[str, Array], size: int) -> dict[str, Array]:
    """So many rows, from the first one on, again and again if there are fewer."""
    return {name: np.ascontiguousarray(array[np.arange(size) % len(array)]) for name, array in rows.items()}


def loads_for(target: str, *, max_batch_size: int, cores: int, pictures: bool = False) -> Sequence[Load]:
    """The loads to measure; the first is the one that counts for the target.

    With `pictures`, which take as long to decode as to look at, whole requests count.
    """
    one, full = Load(1, 1), Load(max_batch_size, 1)
    wide = [Load(1, cores)] if cores > 1 else []
    first = [full, one] if target == "throughput" else [one, full]
    whole = [Load(1, 1, whole=True)] if pictures else []
    return list(dict.fromkeys([*whole, *first, *wide]))


def _timed(run: Run, feeds: Mapping[str, Array], repeats: int, clock: Callable[[], float]) -> float:
    begin_s = clock()
    for _ in range(repeats):
        run(feeds)
    return (clock() - begin_s) / repeats
