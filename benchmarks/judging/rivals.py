"""Two judges to compare with: both look once, at the end, and are given the false alarms that Lepton's is allowed.

Every judge gets the same series: of each interval the error rate, the p50, p95 and p99 latency, the share of the most
frequent label and the mean score, of the candidate and of its baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judging.simulation import Interval
from lepton_ai.counts import ArmCounts

Floats = NDArray[Any]
Rival = Callable[[Floats, Floats], float]
"""The series of the candidate and of the baseline, intervals × metrics → how suspicious: calibrated on healthy ones."""
_ONE_SIDED = 4
"""Errors and latencies are worse only when they rise; label and score in both directions."""
_ONE_PERCENT = 2.3263
_STEP, _MOST_REQUESTS, _DRAWS = 5, 2000, 20_000
_KAYENTA_TOLERANCE = 0.25


def series(intervals: Sequence[Interval]) -> tuple[Floats, Floats]:
    """The metrics that both rivals see."""
    return (
        np.array([_metrics(candidate) for candidate, _, _ in intervals]),
        np.array([_metrics(baseline) for _, baseline, _ in intervals]),
    )


def mann_whitney(candidate: Floats, baseline: Floats) -> float:
    """The greatest z of a rank test over all metrics."""
    return max(_z(candidate, baseline))


def kayenta(candidate: Floats, baseline: Floats) -> float:
    """NetflixACAJudge's way: a metric is bad when the rank test says so and the mean changes by a quarter as well."""
    effects = np.abs(candidate.mean(0) / np.maximum(baseline.mean(0), 1e-9) - 1)
    both = [z for z, effect in zip(_z(candidate, baseline), effects, strict=True) if effect > _KAYENTA_TOLERANCE]
    return max(both, default=0.0)


RIVALS: dict[str, Rival] = {"Mann-Whitney at the end": mann_whitney, "Kayenta's way at the end": kayenta}


def horizon(worse: float, healthy: float, times: int, wanted: float, *, calibrated: bool) -> int:
    """So many requests of the candidate a rank test on its errors needs that is made once, at a number fixed before.

    `times`: how many requests the others have for each. It finds the share `wanted` of versions of which the share
    `worse` fails, with 1 % false alarms: by the normal approximation, or `calibrated` by simulation to this very share
    of healthy answers that fail, which nobody knows before.
    """
    dice = np.random.default_rng(1)
    for requests in range(_STEP, _MOST_REQUESTS, _STEP):
        theirs = dice.binomial(requests * times, healthy, _DRAWS)
        by_chance = np.sort(_z_of_errors(dice.binomial(requests, healthy, _DRAWS), theirs, requests, times))
        limit = by_chance[int(0.99 * _DRAWS)] if calibrated else _ONE_PERCENT
        found = _z_of_errors(dice.binomial(requests, worse, _DRAWS), theirs, requests, times) > limit
        if found.mean() >= wanted:
            return requests
    raise ValueError("No number of requests is enough.")


def _z_of_errors(ours: Floats, theirs: Floats, requests: int, times: int) -> Floats:
    """Mann-Whitney of answers that are 0 or 1: all of them are ties."""
    share = (ours + theirs) / (requests * (1 + times))
    spread = np.sqrt(np.maximum(share * (1 - share), 1e-12) * (1 + 1 / times) / requests)
    return np.asarray((ours / requests - theirs / (requests * times)) / spread)


def _z(candidate: Floats, baseline: Floats) -> list[float]:
    values = []
    for metric in range(candidate.shape[1]):
        z = _rank_z(candidate[:, metric], baseline[:, metric])
        values.append(z if metric < _ONE_SIDED else abs(z))
    return values


def _rank_z(ours: Floats, theirs: Floats) -> float:
    """Mann-Whitney's U as a normal deviate, with the correction for ties."""
    n, m = len(ours), len(theirs)
    values, inverse, counts = np.unique(np.concatenate([ours, theirs]), return_inverse=True, return_counts=True)
    if len(values) == 1:
        return 0.0
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    u = ranks[:n].sum() - n * (n + 1) / 2
    total = n + m
    ties = float((counts**3 - counts).sum()) / (total * (total - 1))
    return float((u - n * m / 2) / math.sqrt(n * m / 12 * (total + 1 - ties)))


def _metrics(arm: ArmCounts) -> list[float]:
    quantiles = [arm.latency_s.quantile(share) or 0.0 for share in (0.5, 0.95, 0.99)]
    labels, scores = max(arm.labels.count, 1), max(arm.scores.count, 1)
    mean = sum((index + 0.5) * count for index, count in enumerate(arm.scores.bins)) / len(arm.scores.bins)
    return [arm.failed() / max(arm.answers, 1), *quantiles, arm.labels.by_label["label 0"] / labels, mean / scores]
