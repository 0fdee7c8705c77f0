"""Values that exceed everything in recent memory, each told once."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.health.detect.streams.ring import Ring


@dataclass
class Records:
    """How much a value exceeds the greatest of the `memory` before it; what follows a record within `rest` must top it.

    No distribution is assumed, so that one threshold suits series of every scale and tail.
    """

    memory: int = 1000
    rest: int = 100
    seen: Ring = field(default_factory=lambda: Ring(1000))
    told: Ring = field(default_factory=lambda: Ring(100))

    def __post_init__(self) -> None:
        self.seen, self.told = Ring(self.memory), Ring(self.rest)

    def update(self, value: float, *, least: float = 0.0, is_learning: bool = False) -> float:
        """Value divided by the greatest before; 0 for what is less than a recent ratio, and while learning.

        `least`: a greatest value below this counts as this.
        """
        greatest = max(float(self.seen.values.max()) if len(self.seen) else 0.0, least)
        ratio = 0.0 if is_learning or greatest <= 0.0 else value / greatest
        is_told = len(self.told) > 0 and ratio <= self.told.values.max()
        self.seen.push(value)
        self.told.push(ratio)
        return 0.0 if is_told else ratio
