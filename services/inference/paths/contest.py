"""Which of some paths is fastest, when the best one is measured all the time and the others now and then."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

from services.inference.paths.path import Path

_TRIALS = 9
"""Trials of a path that count."""
_CLEARLY = 0.95
"""A path is only better than the first one when it is clearly faster: noise is as large, and the first one is the one
that sends least around."""
_CLEARLY_SLOWER = 1.2
_ENOUGH_TRIALS = 3
"""A single trial may be luck, …"""
_BEYOND_LUCK = 0.5
"""… unless its path is so many times faster."""


class Contest:
    """Paths and how long each takes for the same work.

    A trial is compared with what the best path took just before it: whatever else the machine does slows all paths
    alike, and times of different minutes say more about the machine than about the paths.
    """

    def __init__(self, paths: Sequence[Path], *, window: int) -> None:
        """The first path is the best one until another is clearly faster. `window`: how many of the latest times of the
        best path count."""
        self.best = self._first = paths[0]
        self._recent_s: deque[float] = deque(maxlen=window)
        self._ratios: dict[Path, deque[float]] = {path: deque(maxlen=_TRIALS) for path in paths}

    def observe(self, path: Path, seconds: float) -> bool:
        """Learn how long something took; returns whether it was a trial that, with more like it, changes the best."""
        if path is not self.best and not self._recent_s:
            self.best = path
        if path is self.best:
            self._recent_s.append(seconds)
            return False
        ratio = seconds / statistics.median(self._recent_s)
        self._ratios[path].append(ratio)
        bound = 1 / _CLEARLY if path is self._first else _CLEARLY
        median = statistics.median(self._ratios[path])
        if median < (bound if len(self._ratios[path]) >= _ENOUGH_TRIALS else _BEYOND_LUCK):
            self._promote(path)
            return False
        return ratio < bound

    def measurements(self, path: Path) -> int:
        """How many there are of this path, of those that count."""
        return len(self._recent_s if path is self.best else self._ratios[path])

    def estimate_s(self, path: Path) -> float | None:
        """What it takes at the moment; None when nothing was measured."""
        if not self.measurements(path):
            return None
        best_s = statistics.median(self._recent_s)
        return best_s if path is self.best else best_s * statistics.median(self._ratios[path])

    def is_clearly_slower(self, path: Path, *, trials: int) -> bool:
        """Whether there were so many trials of the path, and all were clearly slower than the best one."""
        ratios = self._ratios[path]
        return len(ratios) >= trials and min(ratios) >= _CLEARLY_SLOWER

    def _promote(self, path: Path) -> None:
        trials = self._ratios[path]
        factor = statistics.median(trials)
        ratios = {other: _scaled(each, 1 / factor) for other, each in self._ratios.items()}
        ratios[self.best] = deque((1 / ratio for ratio in trials), maxlen=_TRIALS)
        ratios[path] = deque(maxlen=_TRIALS)
        self._ratios, self.best = ratios, path
        self._recent_s = _scaled(self._recent_s, factor)


def _scaled(values: deque[float], factor: float) -> deque[float]:
    return deque((value * factor for value in values), maxlen=values.maxlen)
