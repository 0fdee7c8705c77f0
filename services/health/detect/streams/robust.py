"""Robust z: distance from the median of the values before, in robust deviations (Iglewicz and Hoaglin, 1993)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from services.health.detect.streams.ring import Ring

LIMIT = 3.5
"""Of Iglewicz and Hoaglin: a value with |z| above it is an outlier."""
_PER_MAD = 0.6745
"""The MAD of normal values is so many deviations."""


@dataclass
class RobustZ:
    """Compares with the last `window` values.

    `floor` and `floor_share`: a MAD below `floor`, or below this share of the median, counts as that, so that a series
    that hardly moves does not alarm about nothing.
    """

    window: int = 360
    limit: float = LIMIT
    floor: float = 1e-9
    floor_share: float = 0.0
    warm_up: int = 30
    kept: Ring = field(default_factory=lambda: Ring(360))

    def __post_init__(self) -> None:
        self.kept = Ring(self.window)

    def z(self, value: float) -> float:
        """The signed z of a value that is not learnt; 0 until `warm_up` values are known, or without a number."""
        if not math.isfinite(value) or len(self.kept) < self.warm_up:
            return 0.0
        median = self.median
        mad = float(np.median(np.abs(self.kept.values - median)))
        return _PER_MAD * (value - median) / max(mad, self.floor, self.floor_share * abs(median))

    def update(self, value: float) -> float:
        """|z| by the limit, and the value is learnt."""
        odd = abs(self.z(value)) / self.limit
        if math.isfinite(value):
            self.kept.push(value)
        return odd

    @property
    def median(self) -> float:
        """Of what is known; NaN when nothing is."""
        return float(np.median(self.kept.values)) if len(self.kept) else math.nan
