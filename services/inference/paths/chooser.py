"""Chooses the path of each raw item of a model by what was measured on this machine, under way."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.inference.paths.path import Path, Reason
from services.inference.paths.trials import Trials

_WINDOW = 9
"""Measurements of a path that count."""
_ALONE_TRIALS = 3
_LOAD_TRIALS = 2
_CLEARLY_SLOWER = 2.0
"""A path that is so many times slower at first is not asked a second time for some time."""
_TURN_ITEMS = 24
_TURN_S = 0.25
"""A turn lasts at least this long and has at least so many items."""


@dataclass(slots=True)
class Trip:
    """One item on its path."""

    path: Path
    reason: Reason
    began_s: float
    in_progress: int
    """Items of the model on their way when it began, itself included."""
    turn: int


@dataclass
class Record:
    """What was measured of one path."""

    alone_s: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """Durations of items that were alone."""
    load_s: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """Of turns under load: mean duration of an item over the mean number in progress, the inverse of throughput
    (Little's law) as soon as there is more to do than can be done."""

    @property
    def alone_median_s(self) -> float | None:
        """Of a lone item; None when nothing was measured."""
        return statistics.median(self.alone_s) if self.alone_s else None

    @property
    def load_median_s(self) -> float | None:
        """Of an item's share under load; None when nothing was measured."""
        return statistics.median(self.load_s) if self.load_s else None


class PathChooser:
    """One model's choice, for items of like size. Pure arithmetic: the time is given.

    A lone item takes the path that was fastest for lone items. Under load all items take the same path for a turn:
    single items on another path would find it empty, and say nothing about it when it has to do everything.
    """

    def __init__(self, paths: Sequence[Path], *, why_only: Reason = Reason.ONLY) -> None:
        """`paths`, at least one; the first one is tried first. `why_only`: the reason when there is no other one."""
        self._paths = tuple(paths)
        self._why_only = why_only
        self.records: Mapping[Path, Record] = {path: Record() for path in self._paths}
        self._in_progress = 0
        self._alone_trials, self._load_trials = Trials(), Trials()
        self._turns_of_others = 0
        self._turn = 0
        self._turn_path = self._paths[0]
        self._turn_reason = Reason.TRIAL
        self._turn_began_s = 0.0
        self._turn_items = 0
        self._turn_seconds = 0.0
        self._turn_in_progress = 0

    @property
    def alone(self) -> Path:
        """The path of lone items."""
        return min(self._paths, key=lambda path: _or_first(self.records[path].alone_median_s))

    @property
    def under_load(self) -> Path:
        """The path of items when there are many."""
        return min(self._paths, key=lambda path: _or_first(self.records[path].load_median_s))

    def begin(self, now_s: float) -> Trip:
        """An item sets out; `end` it in any case."""
        self._in_progress += 1
        if len(self._paths) == 1:
            return Trip(self._paths[0], self._why_only, now_s, self._in_progress, self._turn)
        path, reason = self._choose_alone() if self._in_progress == 1 else (self._turn_path, self._turn_reason)
        return Trip(path, reason, now_s, self._in_progress, self._turn)

    def end(self, trip: Trip, now_s: float, *, answered: bool) -> None:
        """An item has arrived; what failed or was given up is not measured."""
        self._in_progress -= 1
        if not answered or len(self._paths) == 1:
            return
        if trip.in_progress == 1:
            if self._in_progress == 0:
                self.records[trip.path].alone_s.append(now_s - trip.began_s)
        elif trip.turn == self._turn:
            self._turn_items += 1
            self._turn_seconds += now_s - trip.began_s
            self._turn_in_progress += trip.in_progress
            if self._turn_items >= _TURN_ITEMS and now_s - self._turn_began_s >= _TURN_S:
                self._next_turn(now_s)

    def _choose_alone(self) -> tuple[Path, Reason]:
        untried = next((path for path in self._paths if len(self.records[path].alone_s) < _ALONE_TRIALS), None)
        if untried is not None:
            return untried, Reason.TRIAL
        best, other = self.alone, self._other(self.alone)
        best_s, other_s = (_or_first(self.records[path].alone_median_s) for path in (best, other))
        if self._alone_trials.is_due(best, best_s, other_s / best_s - 1):
            self._turns_of_others += 1
            return other, Reason.TRIAL
        return best, Reason.ALONE

    def _next_turn(self, now_s: float) -> None:
        self.records[self._turn_path].load_s.append(self._turn_seconds / self._turn_in_progress)
        self._turn += 1
        self._turn_began_s, self._turn_items, self._turn_seconds, self._turn_in_progress = now_s, 0, 0.0, 0
        self._turn_path, self._turn_reason = self._choose_turn()

    def _choose_turn(self) -> tuple[Path, Reason]:
        best = self.under_load
        best_s = _or_first(self.records[best].load_median_s)
        for path in self._paths:
            record = self.records[path]
            clear = (record.load_median_s or 0.0) > _CLEARLY_SLOWER * best_s
            if len(record.load_s) < (1 if clear else _LOAD_TRIALS):
                return path, Reason.TRIAL
        other = self._other(best)
        items = _TURN_ITEMS + self._in_progress  # those that set out in a turn arrive in it or later
        costs_s = items * (_or_first(self.records[other].load_median_s) - best_s)
        if self._load_trials.is_due(best, best_s, costs_s / max(_TURN_S, _TURN_ITEMS * best_s)):
            self._turns_of_others += 1
            return other, Reason.TRIAL
        return best, Reason.LOAD

    def _other(self, best: Path) -> Path:
        """Those that are not the best, in turn."""
        others = [path for path in self._paths if path is not best]
        return others[self._turns_of_others % len(others)]


def _or_first(median_s: float | None) -> float:
    return float("inf") if median_s is None else median_s
