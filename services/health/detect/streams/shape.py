"""How unlike everything before the last few values of a series are: the left discord of the matrix profile.

Yeh et al., ICDM 2016 (matrix profile); Burnaev and Ishimtsev, arXiv 1608.04585 (nearest neighbours of lagged values, as
a detector of streams). Distances are plain ones, not of z-normalised values: the height of a metric matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from services.health.detect.streams.ring import Ring

WINDOW = 20
NEIGHBOURS = 3
MEMORY = 1000


@dataclass
class ShapeDistance:
    """Mean distance of the last `window` values to the `neighbours` most similar stretches in the `memory` before."""

    window: int = WINDOW
    neighbours: int = NEIGHBOURS
    memory: int = MEMORY
    kept: Ring = field(default_factory=lambda: Ring(MEMORY + WINDOW))

    def __post_init__(self) -> None:
        self.kept = Ring(self.memory + self.window)

    def update(self, value: float) -> float:
        """The distance with this value as the newest; 0 until there is enough to compare with, or without a number."""
        if not math.isfinite(value):
            return 0.0
        self.kept.push(value)
        values, window = self.kept.values, self.window
        if len(values) < 2 * window + self.neighbours - 1:
            return 0.0
        # Distances do not change when all values are moved; near zero their squares lose the least.
        moved = values - values[-1]
        newest, before = moved[-window:], moved[:-window]
        sums = np.cumsum(np.concatenate(([0.0], before * before)))
        squares = sums[window:] - sums[:-window] - 2.0 * np.correlate(before, newest, "valid") + newest @ newest
        nearest = np.partition(squares, self.neighbours - 1)[: self.neighbours]
        return float(np.sqrt(np.maximum(nearest, 0.0)).mean())
