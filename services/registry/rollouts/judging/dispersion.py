"""How much more counts vary than those of independent answers would: bursts, moods of an arm, memory from interval to
interval.

It is measured where no harm can be: between the baseline and the other arms, which run the same version. Where there is
nobody but candidate and baseline, it is measured between these two, around the mean difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any

_WINDOW = 32
_LAGS = 3
_ENOUGH = 6.0
"""Intervals between arms of the same version that make a look at the candidate needless."""
_MOST_BY_BURSTS = 2.5
"""A rate that rises and falls for all looks like bursts, too, and must not silence the gate."""


class Deviations:
    """The newest differences of two arms from what chance would share out, with the variances chance would give."""

    def __init__(self) -> None:
        self._newest: deque[tuple[list[float], list[float]]] = deque(maxlen=_WINDOW)

    def add(self, ours: Sequence[int], theirs: Sequence[int], our_total: int, their_total: int) -> None:
        """Note the counts of an interval by category; intervals without answers of both say nothing."""
        total = our_total + their_total
        if not our_total or not their_total or total < 2:
            return
        share, spread = our_total / total, our_total * their_total / (total * total * (total - 1))
        both = [x + y for x, y in zip(ours, theirs, strict=True)]
        self._newest.append(
            (
                [round(x - share * each, 4) for x, each in zip(ours, both, strict=True)],
                [round(spread * each * (total - each), 4) for each in both],
            )
        )

    def measure(self, *, around_mean: bool) -> tuple[float, float]:
        """The long-run variance as a multiple of that of independent answers, and of how many intervals."""
        count = len(self._newest)
        variance = sum(sum(variances) for _, variances in self._newest)
        if not variance:
            return 1.0, 0.0
        columns = list(zip(*(deviations for deviations, _ in self._newest), strict=True))
        if around_mean:
            columns = self._centred(columns)
        products = [sum(sum(map(mul, column[lag:], column)) for column in columns) for lag in range(_LAGS + 1)]
        freedom = max(count - 1, 1) / count if around_mean else 1.0
        long_run = max(products[0] + 2 * sum(products[1:]), products[0])
        # Events so rare that most intervals have none say less than their number.
        return long_run / variance / freedom, min(count, variance)

    def _centred(self, columns: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
        """Without the mean shift of each category, which is what harm looks like."""
        centred = []
        for column, variances in zip(columns, zip(*(each for _, each in self._newest), strict=True), strict=True):
            spread = sum(variances)
            shift = sum(column) / spread if spread else 0.0
            centred.append(tuple(d - shift * v for d, v in zip(column, variances, strict=True)))
        return centred

    def as_json(self) -> list[Any]:
        """All that the future depends on."""
        return [[deviations, variances] for deviations, variances in self._newest]

    def restore(self, known: Sequence[Any]) -> None:
        """Go on where `as_json` was."""
        self._newest = deque(((list(d), list(v)) for d, v in known), maxlen=_WINDOW)


class Dispersion:
    """The dispersion of a gate: what is assumed, and with every interval more of what is measured."""

    def __init__(self, assumed: float, weight: float) -> None:
        self._assumed, self._weight = assumed, weight
        self._same_version = Deviations()
        self._candidate = Deviations()
        self._bursts: deque[int] = deque(maxlen=_WINDOW)
        self._value: float | None = None

    @property
    def value(self) -> float:
        """So many answers count as one: at least 1."""
        if self._value is None:
            self._value = max(self._between_arms(), self._by_bursts(), 1.0)
        return self._value

    def note(self, ours: Sequence[int], base: Sequence[int], rest: Sequence[int], totals: tuple[int, int, int]) -> None:
        """Note the counts of an interval, of the candidate, the baseline and the rest."""
        self._candidate.add(ours, base, totals[0], totals[1])
        self._same_version.add(base, rest, totals[1], totals[2])
        self._value = None

    def note_burst(self, events: int) -> None:
        """Note the events of an interval of all arms of the old version, where bursts are to be looked for."""
        self._bursts.append(events)

    def _between_arms(self) -> float:
        measured, intervals = self._same_version.measure(around_mean=False)
        if intervals < _ENOUGH:
            other, more = self._candidate.measure(around_mean=True)
            measured = (measured * intervals + other * more) / max(intervals + more, 1e-9)
            intervals += more
        return self._mixed(measured, intervals)

    def _by_bursts(self) -> float:
        """By the differences from interval to interval, as those of independent events have their sum as variance."""
        pairs = list(zip(list(self._bursts)[1:], self._bursts, strict=False))
        events = sum(now + then for now, then in pairs)
        if not events:
            return 1.0
        measured = sum((now - then) ** 2 for now, then in pairs) / events
        return min(self._mixed(measured, min(len(pairs), events / 2)), _MOST_BY_BURSTS)

    def _mixed(self, measured: float, intervals: float) -> float:
        return (self._assumed * self._weight + measured * intervals) / (self._weight + intervals)

    def as_json(self) -> dict[str, Any]:
        """All that the future depends on."""
        return {
            "same": self._same_version.as_json(),
            "candidate": self._candidate.as_json(),
            "bursts": list(self._bursts),
        }

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on where `as_json` was."""
        self._same_version.restore(known["same"])
        self._candidate.restore(known["candidate"])
        self._bursts = deque(known["bursts"], maxlen=_WINDOW)
        self._value = None
