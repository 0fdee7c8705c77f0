"""Learns how long a batch takes: duration = a · rows + b, by exponentially weighted least squares."""

from __future__ import annotations

import math

_DECAY = 0.98
"""Weight of an observation relative to the next one: about the last 50 batches count."""
_MIN_SPREAD = 1e-6
_WORTHWHILE = 0.05


class LatencyModel:
    """Predicts the duration of a batch from those seen so far. Pure arithmetic: no clock, no I/O.

    Weighted normal equations with a decaying weight, as in recursive least squares with forgetting (Haykin, Adaptive
    Filter Theory, chapter 10). Slope and intercept are kept ≥ 0: more rows never take less time.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._rows = 0.0
        self._rows_squared = 0.0
        self._seconds = 0.0
        self._rows_seconds = 0.0
        self._several_sizes = False
        self._fastest_s = 0.0
        self.per_row_s = 0.0
        """a: the seconds that each further row costs."""
        self.fixed_s = 0.0
        """b: the seconds that any batch costs."""

    def observe(self, rows: int, duration_s: float) -> None:
        """Learn from one batch."""
        self._weight = self._weight * _DECAY + 1.0
        self._rows = self._rows * _DECAY + rows
        self._rows_squared = self._rows_squared * _DECAY + rows * rows
        self._seconds = self._seconds * _DECAY + duration_s
        self._rows_seconds = self._rows_seconds * _DECAY + rows * duration_s
        self._fastest_s = min(duration_s, self._fastest_s / _DECAY) if self._fastest_s else duration_s
        self._fit()

    def estimate_s(self, rows: int) -> float:
        """Expected duration of a batch; 0.0 as long as nothing was seen."""
        return self.per_row_s * rows + self.fixed_s

    def hopeless(self, duration_s: float) -> bool:
        """Whether even the fastest recent batch took longer than this.

        Each "yes" lowers that fastest time a little: should the model have become faster since, a later caller gets
        through and finds out.
        """
        if duration_s >= self._fastest_s:
            return False
        self._fastest_s *= _DECAY
        return True

    def _fit(self) -> None:
        determinant = self._weight * self._rows_squared - self._rows * self._rows
        self._several_sizes = determinant > _MIN_SPREAD * self._weight * self._rows_squared
        if not self._several_sizes:
            # Only one size seen so far. Assume the worst, that all of it is per row.
            self._through_origin()
            return
        slope = (self._weight * self._rows_seconds - self._rows * self._seconds) / determinant
        intercept = (self._seconds - slope * self._rows) / self._weight
        if intercept < 0.0:
            self._through_origin()
        elif slope < 0.0:
            self.per_row_s, self.fixed_s = 0.0, self._seconds / self._weight
        else:
            self.per_row_s, self.fixed_s = slope, intercept

    def _through_origin(self) -> None:
        self.per_row_s, self.fixed_s = self._rows_seconds / self._rows_squared, 0.0

    def rows_within(self, duration_s: float) -> float:
        """The largest batch expected to take at most this long; infinite as long as nothing was seen."""
        if self.per_row_s <= 0.0:
            return float("inf") if self.fixed_s <= duration_s else 0.0
        return (duration_s - self.fixed_s) // self.per_row_s

    def worthwhile_rows(self, max_rows: int) -> int:
        """The batch beyond which more rows save less than 5 % of the time per row: that of n rows is a + b / n.

        On a GPU b is large and batches are worth filling. On a CPU core b is next to nothing, and larger batches only
        keep callers waiting. As long as b cannot be told, because all batches had one size, the answer is `max_rows`.
        """
        if not self._several_sizes or self.per_row_s <= 0.0:
            return max_rows
        return max(1, min(max_rows, math.ceil(self.fixed_s / (_WORTHWHILE * self.per_row_s))))

    def splitting_pays(self, rows: int) -> bool:
        """Whether two half batches side by side beat one of `rows`: they save half the rows, and cost b once more."""
        return self.per_row_s * rows / 2 >= self.fixed_s
