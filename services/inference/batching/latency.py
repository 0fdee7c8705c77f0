"""Learns how long a batch takes: duration = a · rows + b, from the medians of batches of like size."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field

_WINDOW = 9
"""Batches of a size class that count: few, so that a model that became slower is noticed soon."""
_STALE_BATCHES = 256
"""A size class that was not seen for so many batches says nothing about today's machine any more."""
_MIN_SPREAD = 1e-6
_WORTHWHILE = 0.02
_UNSEEN_S = 0.0015
"""What a batch costs this process and Triton's frontend, on the cores that the model runs on: it is not in the duration
of a batch, as they work while other batches run."""
_SAME = 1.5
"""A worthwhile size within this factor of the last one is noise. Batches of changing size are what makes callers wait
unequally long: with 16 callers p99 was 1.3 times the median, with one size it is 1.1."""
_ROUNDING = 1e-6
_LEAST_S = 1e-9
"""No batch takes less, whatever a clock says."""
_FORGIVENESS = 0.98


@dataclass(slots=True)
class _SizeClass:
    """Batches of 1, 2, 3–4, 5–8, … rows."""

    rows: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    seen_at: int = 0
    mean_rows: float = 0.0
    duration_s: float = 0.0
    """Of a batch of `mean_rows`: from the median duration a row, which no straggler moves."""

    def observe(self, rows: int, duration_s: float, number: int) -> None:
        self.rows.append(rows)
        self.seconds.append(duration_s)
        self.seen_at = number
        self.mean_rows = sum(self.rows) / len(self.rows)
        per_row = [seconds / count for seconds, count in zip(self.seconds, self.rows, strict=True)]
        self.duration_s = statistics.median(per_row) * self.mean_rows


class LatencyModel:
    """Predicts the duration of a batch from those seen so far. Pure arithmetic: no clock, no I/O.

    Batches are measured under whatever else the machine does, and stragglers are many times slower than the rest, so
    least squares over single batches finds any slope. The median of each size class is robust against that; through the
    medians goes a line with the least squared *relative* error, whose slope and intercept are kept ≥ 0: more rows never
    take less time.
    """

    def __init__(self) -> None:
        self._classes: dict[int, _SizeClass] = {}
        self.batches = 0
        """How many batches it has learned from."""
        self._fastest_s = 0.0
        self.per_row_s = 0.0
        """a: the seconds that each further row costs."""
        self.fixed_s = 0.0
        """b: the seconds that any batch costs."""
        self._worthwhile_rows = 0.0

    def observe(self, rows: int, duration_s: float) -> None:
        """Learn from one batch."""
        duration_s = max(duration_s, _LEAST_S)
        self.batches += 1
        self._fastest_s = min(duration_s, self._fastest_s / _FORGIVENESS) if self._fastest_s else duration_s
        index = (rows - 1).bit_length()
        if index not in self._classes:
            self._classes[index] = _SizeClass()
        self._classes[index].observe(rows, duration_s, self.batches)
        stale = [key for key, each in self._classes.items() if self.batches - each.seen_at > _STALE_BATCHES]
        for key in stale:
            del self._classes[key]
        self._fit()
        self._weigh()

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
        self._fastest_s *= _FORGIVENESS
        return True

    def rows_within(self, duration_s: float) -> float:
        """The largest batch expected to take at most this long; infinite as long as nothing was seen."""
        if self.per_row_s <= 0.0:
            return float("inf") if self.fixed_s <= duration_s else 0.0
        return (duration_s - self.fixed_s) // self.per_row_s

    def worthwhile_rows(self, max_rows: int, *, saving: float = _WORTHWHILE) -> int:
        """The batch beyond which more rows save less than this part of the time per row: that of n rows is a + b / n.

        On a GPU b is large and batches are worth filling. On a CPU core b is little more than the way to the model and
        back, and larger batches only keep callers waiting. As long as b cannot be told, because all batches of late had
        one size, the answer is twice that size, which gives the next one another one.
        """
        if len(self._classes) > 1 and self.per_row_s > 0.0:
            return max(1, min(max_rows, math.ceil(self._worthwhile_rows * _WORTHWHILE / saving - _ROUNDING)))
        seen = max((each.mean_rows for each in self._classes.values()), default=math.inf)
        return math.ceil(min(max_rows, 2 * seen))

    def splitting_pays(self, rows: int) -> bool:
        """Whether two half batches side by side beat one of `rows`: they save half the rows, and cost b once more."""
        return self.per_row_s * rows / 2 >= self.fixed_s

    def _weigh(self) -> None:
        """How many rows are worthwhile, unless it is about as many as before."""
        if self.per_row_s <= 0.0:
            return
        rows = (self.fixed_s + _UNSEEN_S) / (_WORTHWHILE * self.per_row_s)
        if not rows / _SAME <= self._worthwhile_rows <= rows * _SAME:
            self._worthwhile_rows = rows

    def _fit(self) -> None:
        weight = rows = rows_squared = seconds = rows_seconds = 0.0
        for each in self._classes.values():
            share = len(each.rows) / each.duration_s**2
            weight += share
            rows += share * each.mean_rows
            rows_squared += share * each.mean_rows**2
            seconds += share * each.duration_s
            rows_seconds += share * each.mean_rows * each.duration_s
        through_origin = rows_seconds / rows_squared
        determinant = weight * rows_squared - rows * rows
        if determinant <= _MIN_SPREAD * weight * rows_squared:
            # Only one size: assume the worst, that all of it is per row.
            self.per_row_s, self.fixed_s = through_origin, 0.0
            return
        slope = (weight * rows_seconds - rows * seconds) / determinant
        intercept = (seconds - slope * rows) / weight
        if intercept < 0.0:
            self.per_row_s, self.fixed_s = through_origin, 0.0
        elif slope < 0.0:
            self.per_row_s, self.fixed_s = 0.0, seconds / weight
        else:
            self.per_row_s, self.fixed_s = slope, intercept
