"""Slow drift: sums of small deviations of one sign, which grow when the mean has moved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.health.detect.streams.ring import Ring


@dataclass
class Cusum:
    """Two-sided CUSUM (Page, Biometrika 1954) of values in deviations from the mean of the first `warm_up` ones.

    `slack`: half of the shift to be found, in deviations. `limit`: with slack 0.5, 12 gives one false alarm in about
    half a million independent normal values (Siegmund's approximation). After an alarm it learns the new mean.
    """

    slack: float = 0.5
    limit: float = 12.0
    warm_up: int = 200
    floor: float = 1e-9
    """Least deviation that values are taken to have."""
    up: float = 0.0
    down: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    """0: still learning."""
    learnt: Ring = field(default_factory=lambda: Ring(200))

    def __post_init__(self) -> None:
        self.learnt = Ring(self.warm_up)

    def update(self, value: float) -> float:
        """The greater sum by the limit; 0 while it learns, or without a number."""
        if not math.isfinite(value):
            return 0.0
        if self.deviation <= 0.0:
            self._learn(value)
            return 0.0
        z = (value - self.mean) / self.deviation
        self.up = max(0.0, self.up + z - self.slack)
        self.down = max(0.0, self.down - z - self.slack)
        odd = max(self.up, self.down) / self.limit
        if odd >= 1.0:
            self.up = self.down = self.deviation = 0.0
            self.learnt = Ring(self.warm_up)
        return odd

    def _learn(self, value: float) -> None:
        self.learnt.push(value)
        if len(self.learnt) == self.warm_up:
            values = self.learnt.values
            self.mean = float(values.mean())
            # Neighbours that are alike (a rate over a sliding minute) spread less than their sums do.
            self.deviation = max(float(values.std()) * _inflation(values), self.floor)


@dataclass
class PageHinkley:
    """Page-Hinkley test for growth (Page 1954; Hinkley 1971; Gama et al. 2013): sums what is above the running mean.

    `tolerance` and `limit` are in units of the values: growth below `tolerance` is none.
    """

    tolerance: float = 0.005
    limit: float = 50.0
    warm_up: int = 30
    forget: float = 0.9999
    """Factor on the sum at each step."""
    count: int = 0
    mean: float = 0.0
    total: float = 0.0
    least: float = 0.0

    def update(self, value: float) -> float:
        """How far the sum is above its least, by the limit. It begins anew after an alarm."""
        if not math.isfinite(value):
            return 0.0
        self.count += 1
        self.mean += (value - self.mean) / self.count
        self.total = self.forget * self.total + value - self.mean - self.tolerance
        self.least = min(self.least, self.total) if self.count > 1 else self.total
        odd = (self.total - self.least) / self.limit
        if self.count < self.warm_up:
            return 0.0
        if odd > 1.0:
            self.count, self.mean, self.total, self.least = 0, 0.0, 0.0, 0.0
        return odd


def _inflation(values: NDArray[np.float64]) -> float:
    """How much more sums spread than those of independent values: √((1+r)/(1-r)) of AR(1) with correlation r > 0."""
    off = values - values.mean()
    spread = float(off @ off)
    correlation = float(off[1:] @ off[:-1]) / spread if spread > 0.0 else 0.0
    correlation = min(max(correlation, 0.0), 0.98)
    return math.sqrt((1.0 + correlation) / (1.0 - correlation))
