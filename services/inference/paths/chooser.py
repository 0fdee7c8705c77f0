"""Chooses the path of each raw item of a model by what was measured on this machine, under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.inference.paths.contest import Contest
from services.inference.paths.path import Path, Reason
from services.inference.paths.trials import Trials

_ALONE_WINDOW = 9
_LOAD_WINDOW = 3
"""Turns are long, and what the machine does changes from one to the next."""
_FIRST_MEASUREMENTS = 3
"""Of the first path before another one is tried."""
_CLEAR_ALONE_TRIALS, _CLEAR_TURNS = 3, 2
"""So many trials that all say that a path is clearly slower are believed: a turn is many items."""
_TURN_ITEMS = 24
_TURN_S = 0.25
"""A turn lasts at least this long and has at least so many items, without those that shared the machine with the items
of the turn before."""


@dataclass(slots=True)
class Trip:
    """One item on its path."""

    path: Path
    reason: Reason
    began_s: float
    in_progress: int
    """Items of the model on their way when it began, itself included."""
    turn: int | None
    """In which it counts; None when items of the turn before are still on their way beside it."""


class PathChooser:
    """One model's choice, for items of like size. Pure arithmetic: the time is given.

    A lone item takes the path that was fastest for lone items. Under load all items take the same path for a turn:
    single items on another path would find it empty, and say nothing about it when it has to do everything.
    """

    def __init__(self, paths: Sequence[Path], *, why_only: Reason = Reason.ONLY) -> None:
        """`paths`, at least one; the first one is tried first. `why_only`: the reason when there is no other one."""
        self.paths = tuple(paths)
        self._why_only = why_only
        self.alone = Contest(self.paths, window=_ALONE_WINDOW)
        """Of items that are alone: how long they take."""
        self.under_load = Contest(self.paths, window=_LOAD_WINDOW)
        """Of turns under load: mean duration of an item over the mean number in progress, the inverse of throughput
        (Little's law) as soon as there is more to do than can be done."""
        self._in_progress = 0
        self._alone_trials, self._load_trials = Trials(), Trials()
        self._turns_of_others = 0
        self._turn = 0
        self._turn_path = self.paths[0]
        self._turn_reason = Reason.TRIAL
        self._begin_turn(0.0)

    def begin(self, now_s: float) -> Trip:
        """An item sets out; `end` it in any case."""
        self._in_progress += 1
        if len(self.paths) == 1:
            return Trip(self.paths[0], self._why_only, now_s, self._in_progress, self._turn)
        path, reason = self._choose_alone() if self._in_progress == 1 else (self._turn_path, self._turn_reason)
        return Trip(path, reason, now_s, self._in_progress, self._turn if self._leftovers <= 0 else None)

    def end(self, trip: Trip, now_s: float, *, answered: bool) -> None:
        """An item has arrived; what failed or was given up is not measured."""
        self._in_progress -= 1
        self._leftovers -= 1
        if not answered or len(self.paths) == 1:
            return
        if trip.in_progress == 1:
            if self._in_progress == 0 and self.alone.observe(trip.path, now_s - trip.began_s):
                self._alone_trials.surprise()
        elif trip.turn == self._turn:
            self._turn_items += 1
            self._turn_seconds += now_s - trip.began_s
            self._turn_in_progress += trip.in_progress
            if self._turn_items >= _TURN_ITEMS and now_s - self._turn_began_s >= _TURN_S:
                self._next_turn(now_s)

    def _choose_alone(self) -> tuple[Path, Reason]:
        contest = self.alone
        if (first := self._first_measured(contest)) is not None:
            return first, Reason.TRIAL
        best, other = contest.best, self._other(contest.best)
        best_s, other_s = _known(contest, best), _known(contest, other)
        is_clear = contest.is_clearly_slower(other, trials=_CLEAR_ALONE_TRIALS)
        if self._alone_trials.is_due(best, best_s, cost=other_s / best_s - 1, is_clear=is_clear):
            self._turns_of_others += 1
            return other, Reason.TRIAL
        return best, Reason.ALONE

    def _next_turn(self, now_s: float) -> None:
        if self.under_load.observe(self._turn_path, self._turn_seconds / self._turn_in_progress):
            self._load_trials.surprise()
        self._turn += 1
        self._turn_path, self._turn_reason = self._choose_turn()
        self._begin_turn(now_s)

    def _begin_turn(self, now_s: float) -> None:
        self._turn_began_s, self._turn_items, self._turn_seconds, self._turn_in_progress = now_s, 0, 0.0, 0
        self._leftovers = self._in_progress

    def _choose_turn(self) -> tuple[Path, Reason]:
        contest = self.under_load
        best = contest.best
        best_s = _known(contest, best)
        if self._turn_path is not best:
            return best, Reason.LOAD  # what trials are compared with should be fresh
        if (first := self._first_measured(contest)) is not None:
            return first, Reason.TRIAL
        other = self._other(best)
        items = _TURN_ITEMS + 2 * self._in_progress  # before those that count, and those that set out in the turn
        cost = items * (_known(contest, other) - best_s) / max(_TURN_S, _TURN_ITEMS * best_s)
        is_clear = contest.is_clearly_slower(other, trials=_CLEAR_TURNS)
        if self._load_trials.is_due(best, best_s, cost=cost, is_clear=is_clear):
            self._turns_of_others += 1
            return other, Reason.TRIAL
        return best, Reason.LOAD

    def _first_measured(self, contest: Contest) -> Path | None:
        """The path to measure before there is a choice: the best one some times, then each of the others once."""
        if contest.measurements(contest.best) < _FIRST_MEASUREMENTS:
            return contest.best
        return next((path for path in self.paths if not contest.measurements(path)), None)

    def _other(self, best: Path) -> Path:
        """Those that are not the best, in turn."""
        others = [path for path in self.paths if path is not best]
        return others[self._turns_of_others % len(others)]


def _known(contest: Contest, path: Path) -> float:
    """Its time, when it may count on having been measured."""
    return contest.estimate_s(path) or float("inf")
