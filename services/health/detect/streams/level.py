"""Whether the mean of a long stretch has moved: the windowed Gaussian, over means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from services.health.detect.streams.ring import Ring


@dataclass
class LevelShift:
    """Deviation of the mean of the last `window` values from such means in the `memory` before, in their deviations."""

    window: int = 200
    memory: int = 1000
    kept: Ring = field(default_factory=lambda: Ring(200))
    means: Ring = field(default_factory=lambda: Ring(1200))

    def __post_init__(self) -> None:
        self.kept, self.means = Ring(self.window), Ring(self.memory + self.window)

    def update(self, value: float) -> float:
        """0 until 30 means are known from before the window, or without a number."""
        if not math.isfinite(value):
            return 0.0
        self.kept.push(value)
        mean = float(self.kept.values.mean())
        self.means.push(mean)
        before = self.means.values[: -self.window]
        if len(before) < 30:
            return 0.0
        usual = float(before.mean())
        off = before - usual
        deviation = math.sqrt(float(off @ off) / len(off))
        floor = 1e-9 * max(abs(usual), 1e-3)
        return abs(mean - usual) / (deviation + floor)
