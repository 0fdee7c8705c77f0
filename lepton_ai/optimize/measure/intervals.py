"""Intervals of 95 % for shares, for differences of paired shares, and for whatever can be resampled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lepton_ai.tensors import Array

_Z = 1.959963984540054  # of the normal distribution, two-sided 95 %
_HALVINGS = 60
_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its interval of 95 %."""

    value: float
    low: float
    high: float


def share(hits: int, count: int) -> Estimate:
    """A share, with the score interval of Wilson (1927), which is honest where nothing or everything hits."""
    centre, half = hits + _Z**2 / 2, _Z * math.sqrt(hits * (count - hits) / count + _Z**2 / 4)
    return Estimate(
        hits / count, max(0.0, (centre - half) / (count + _Z**2)), min(1.0, (centre + half) / (count + _Z**2))
    )


def paired_difference(lost: int, won: int, count: int) -> Estimate:
    """How much smaller a share became when `lost` of `count` hits went and `won` came: (lost − won) / count.

    With the score interval of Tango (1998), which needs no continuity correction, and which a few rows without any
    change do not make narrow.
    """
    value = (lost - won) / count

    def edge(sign: float) -> float:
        inner, outer = value, sign
        for _ in range(_HALVINGS):
            middle = (inner + outer) / 2
            if abs(_tango(lost, won, count, middle)) <= _Z:
                inner = middle
            else:
                outer = middle
        return inner

    return Estimate(value, edge(-1.0), edge(1.0))


def _tango(lost: int, won: int, count: int, difference: float) -> float:
    """The score of a supposed difference: as many standard errors as it lies from the one that was seen."""
    a = 2 * count
    b = -lost - won + (2 * count - lost + won) * difference
    c = -won * difference * (1 - difference)
    smaller = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = count * (2 * smaller + difference * (1 - difference))
    distance = lost - won - count * difference
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def resampled(statistic: Callable[[Array], float], count: int, *, seed: int = 0) -> Estimate:
    """A statistic of row numbers with its percentile bootstrap interval (Efron 1979)."""
    generator = np.random.default_rng(seed)
    drawn = [statistic(generator.integers(count, size=count)) for _ in range(_RESAMPLES)]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Estimate(float(statistic(np.arange(count))), float(low), float(high))
