"""How long a model's batches take beside others and alone, and whether a lone one should have all cores."""

from __future__ import annotations

from services.inference.batching.flight import Flight
from services.inference.batching.latency import LatencyModel

_FIRST_TRIALS = 5
"""Lone batches that each way gets before they are compared."""
_TRIAL_INTERVALS = (8, 64)
"""Every so many lone batches one goes the way that seemed slower, to see whether it still is: at first, when the model
has just been loaded and little is known, and later."""
_KNOWN_WELL = 128


class Pace:
    """What was measured of batches of one kind of input. A model has one for its tensors and one for raw items."""

    def __init__(self, *, can_be_wide: bool) -> None:
        """`can_be_wide`: whether the model has a copy that runs on all cores."""
        self.shared = LatencyModel()
        """Beside other batches, on one thread."""
        self.alone = LatencyModel()
        """With the machine to itself, on one thread."""
        self.wide = LatencyModel()
        """With the machine to itself, on all cores."""
        self._can_be_wide = can_be_wide
        self._lone_batches = 0

    @property
    def latency(self) -> LatencyModel:
        """What batches are planned with: busy times where there were any, as plans matter when there is much to do."""
        if self.shared.batches:
            return self.shared
        lone = [model for model in (self.alone, self.wide) if model.batches]
        return min(lone, key=lambda model: model.estimate_s(1), default=self.shared)

    def hopeless(self, duration_s: float) -> bool:
        """Whether even the fastest recent batch, beside others or alone, took longer than this. See `LatencyModel`."""
        seen = [model for model in (self.shared, self.alone, self.wide) if model.batches]
        return bool(seen) and all(model.hopeless(duration_s) for model in seen)

    def prefers_wide(self, rows: int) -> bool:
        """Whether a batch that has the machine to itself is to run on all cores; each call counts as one batch."""
        if not self._can_be_wide:
            return False
        self._lone_batches += 1
        for model, is_wide in ((self.wide, True), (self.alone, False)):
            if model.batches < _FIRST_TRIALS:
                return is_wide
        wins = self.wide.estimate_s(rows) <= self.alone.estimate_s(rows)
        interval = _TRIAL_INTERVALS[self._lone_batches > _KNOWN_WELL]
        return wins if self._lone_batches % interval else not wins

    def observe(self, flight: Flight, duration_s: float) -> None:
        """Learn from a batch that was answered."""
        if not flight.shares:
            (self.wide if flight.wide else self.alone).observe(flight.rows, duration_s)
        elif not flight.wide:
            self.shared.observe(flight.rows, duration_s)
