"""Distances between two histograms with the same bins, and which of them chance does not explain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_COUNT = 1000
"""On each side; below, PSI and its like are mostly chance."""
LEAST_DISTANCE = 0.1
"""What is usually called a shift that matters, of each of the distances."""
MAX_BINS = 20
_LEVEL = 0.01


class Verdict(IntEnum):
    """The greater, the worse."""

    INCONCLUSIVE = 1
    STABLE = 2
    DRIFTED = 3


@dataclass(frozen=True)
class Statistic:
    """One distance, and what it must exceed to count."""

    name: str
    value: float
    threshold: float


@dataclass(frozen=True)
class Comparison:
    """Two histograms compared."""

    verdict: Verdict
    golden: int
    latest: int
    statistics: Sequence[Statistic]


def psi(golden: Floats, latest: Floats) -> Floats:
    """Population stability index (symmetric Kullback-Leibler), half a count added to each bin. [..., bins]"""
    p, q = _shares(golden + 0.5), _shares(latest + 0.5)
    index: Floats = ((q - p) * np.log(q / p)).sum(-1)
    return index


def js(golden: Floats, latest: Floats) -> Floats:
    """Jensen-Shannon distance: the root of the divergence in bits (Endres and Schindelin, 2003); 0…1. [..., bins]"""
    p, q = _shares(golden), _shares(latest)
    middle = (p + q) / 2.0
    divergence = (_relative(p, middle) + _relative(q, middle)) / 2.0
    distance: Floats = np.sqrt(np.maximum(divergence, 0.0))
    return distance


def ks(golden: Floats, latest: Floats) -> Floats:
    """Kolmogorov-Smirnov distance: the greatest difference of the cumulated shares of ordered bins. [..., bins]"""
    gaps = np.abs(np.cumsum(_shares(golden), -1) - np.cumsum(_shares(latest), -1))
    distance: Floats = gaps.max(-1)
    return distance


_OF_CATEGORIES: Mapping[str, Callable[[Floats, Floats], Floats]] = {"psi": psi, "js": js}
_OF_NUMBERS: Mapping[str, Callable[[Floats, Floats], Floats]] = {**_OF_CATEGORIES, "ks": ks}


def compare(golden: Sequence[int], latest: Sequence[int], *, ordered: bool, among: int = 1) -> Comparison:
    """Compare counts in the same bins. `ordered`: the bins are of numbers, from small to great.

    The threshold of a distance is at least 0.1, and such that chance alone, both sides drawn from the same, exceeds it
    too rarely: any distance of any of the `among` comparisons that are made at once in 1 % at most (Bonferroni).
    """
    one, two = np.array(golden, float), np.array(latest, float)
    count, late = int(one.sum()), int(two.sum())
    if min(count, late) == 0:
        return Comparison(Verdict.INCONCLUSIVE, count, late, ())
    bins, noise = int(((one + two) > 0).sum()), 1.0 / count + 1.0 / late
    distances, statistics = _OF_NUMBERS if ordered else _OF_CATEGORIES, []
    for name, distance in distances.items():
        by_chance = _by_chance(name, bins, noise, _LEVEL / (among * len(distances)))
        statistics.append(Statistic(name, float(distance(one, two)), max(LEAST_DISTANCE, by_chance)))
    if min(count, late) < LEAST_COUNT:
        return Comparison(Verdict.INCONCLUSIVE, count, late, statistics)
    has_drifted = any(each.value > each.threshold for each in statistics)
    return Comparison(Verdict.DRIFTED if has_drifted else Verdict.STABLE, count, late, statistics)


def _by_chance(name: str, bins: int, noise: float, level: float) -> float:
    """What a distance of two samples of the same exceeds with the probability `level`. `noise`: 1/n + 1/m.

    PSI / noise is chi-square with bins - 1 degrees of freedom (Yurdakul 2018), the Jensen-Shannon divergence in nats an
    eighth of it; Kolmogorov-Smirnov after Smirnov 1948, which is cautious for bins.
    """
    if name == "ks":
        return math.sqrt(math.log(2.0 / level) / 2.0 * noise)
    quantile = _chi_square_quantile(1.0 - level, max(1, bins - 1))
    return quantile * noise if name == "psi" else math.sqrt(quantile * noise / (8.0 * math.log(2.0)))


def _chi_square_quantile(probability: float, freedom: int) -> float:
    """Wilson and Hilferty 1931; within 1 % for the freedoms and probabilities here, some percent above for few."""
    spread = 2.0 / (9.0 * freedom)
    return float(freedom * (1.0 - spread + NormalDist().inv_cdf(probability) * math.sqrt(spread)) ** 3)


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum(-1, keepdims=True)
    return shares


def _relative(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence in bits; bins that are empty in `p` add nothing."""
    logs = np.log2(np.where(p > 0.0, p, 1.0) / np.where(p > 0.0, q, 1.0))
    divergence: Floats = (p * logs).sum(-1)
    return divergence
