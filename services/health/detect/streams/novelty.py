"""The detector of metrics: what has not been like this before. Its figures on NAB are in docs/anomalies.md."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from services.health.detect.streams.level import LevelShift
from services.health.detect.streams.records import Records
from services.health.detect.streams.ring import Ring
from services.health.detect.streams.shape import MEMORY, WINDOW, ShapeDistance

THRESHOLD = 1.055
"""Alarms of at least this are detections on NAB, chosen on one half of it (benchmarks/nab/tables.py)."""
HOLD = 200
_LONGEST_RATIO = 100.0
_LEAST = 1e-6
"""Of the size of the values: shapes that differ by less are the same."""


@dataclass
class Held:
    """The greatest of the last HOLD values, relative to its own mean so far."""

    recent: Ring = field(default_factory=lambda: Ring(HOLD))
    total: float = 0.0
    count: int = 0

    def update(self, value: float) -> float:
        """0 as long as there was nothing but zeros."""
        self.recent.push(value)
        greatest = float(self.recent.values.max())
        self.total += greatest
        self.count += 1
        return greatest * self.count / self.total if self.total > 0.0 else 0.0


@dataclass
class Oddness:
    """What a detector says of one value."""

    alarm: float
    """How much the newest shape exceeds all novelty in memory; told once for each event. 0…100."""
    excess: float
    """The same compared with what was before the newest shape began: it grows as an event unfolds, and stays."""
    level: float
    """How odd the last stretch is, whether it was told or not; about 2 is usual."""


@dataclass
class Novelty:
    """Feed it the values of one series at equal intervals.

    `warm_up`: values before the first alarm; a fifth of that is the time in which an event must grow to be told again.
    """

    warm_up: int = 600
    seen: int = 0
    blind: int = 0
    """Values that follow a gap and are still in one window with what was before it."""
    shape: ShapeDistance = field(default_factory=ShapeDistance)
    records: Records = field(default_factory=Records)
    shift: LevelShift = field(default_factory=LevelShift)
    held_shape: Held = field(default_factory=Held)
    held_shift: Held = field(default_factory=Held)

    def __post_init__(self) -> None:
        self.records = Records(MEMORY, max(self.warm_up // 5, 1))

    def update(self, value: float) -> Oddness:
        """How odd this value is after those before. What is not a number changes nothing and is not odd."""
        if not math.isfinite(value):
            return Oddness(0.0, 0.0, 0.0)
        distance = self.shape.update(value)
        shift = self.shift.update(value)
        is_learning = self.seen < self.warm_up or self.blind > 0
        self.seen += 1
        self.blind = max(self.blind - 1, 0)
        least = _LEAST * max(abs(value), 1.0)
        before = self.records.seen.values[:-WINDOW]
        excess = 0.0 if is_learning or not len(before) else distance / max(float(before.max()), least)
        ratio = self.records.update(distance, least=least, is_learning=is_learning)
        level = self.held_shape.update(distance) + self.held_shift.update(shift)
        return Oddness(min(ratio, _LONGEST_RATIO), min(excess, _LONGEST_RATIO), level)

    def interrupt(self) -> None:
        """Say that values are missing: no alarm until a whole window lies behind the gap."""
        self.blind = WINDOW
