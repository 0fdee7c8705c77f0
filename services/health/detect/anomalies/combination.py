"""The numbers of one process together: each may be usual and all of them not, as twice the CPU for as many calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.health.detect.anomalies.watched import COMBINED, STEP_S
from services.health.detect.streams.components import ComponentResidual

_TO_BEGIN, _TO_END = 6, 12
_LEAST = 1e-3
_NOISE = 0.05
"""Logarithms that vary by less are not worth a look."""


@dataclass
class Combination:
    """Fed with all numbers of one process at equal steps."""

    residual: ComponentResidual = field(
        default_factory=lambda: ComponentResidual(len(COMBINED), memory=720, margin=2.0, least=_NOISE)
    )
    last_s: float = 0.0
    odd: int = 0
    well: int = 0
    since_s: float = 0.0
    """0: the numbers go together as usual."""
    share: float = 0.0
    """How far beyond the limit they are."""
    blamed: str = ""
    """The number that fits the others the least."""
    blame: float = 0.0

    def update(self, time_s: float, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one moment. Without all of them nothing is judged."""
        if time_s <= self.last_s or any(not math.isfinite(numbers.get(name, math.nan)) for name in COMBINED):
            return
        self.last_s = time_s
        values = np.array([math.log(max(numbers[name], 0.0) + _LEAST) for name in COMBINED])
        contributions = self.residual.contributions(values) if self.residual.limit > 0.0 else None
        odd = self.residual.update(values)
        self.odd, self.well = (self.odd + 1, 0) if odd >= 1.0 else (0, self.well + 1)
        if self.odd >= _TO_BEGIN and contributions is not None:
            self.since_s = self.since_s or time_s - (_TO_BEGIN - 1) * STEP_S
            self.share, worst = odd, int(np.argmax(contributions))
            self.blamed, self.blame = list(COMBINED)[worst], float(contributions[worst])
        elif self.well >= _TO_END:
            self.since_s = 0.0
