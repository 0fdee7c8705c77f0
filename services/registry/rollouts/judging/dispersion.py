"""How much more counts vary than those of independent answers would: bursts, moods of an arm, memory from interval to
interval.

It is measured where no harm can be: between the baseline and the other arms, which run the same version. Where there is
nobody but candidate and baseline, it is measured between these two, around the mean difference.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

_WINDOW = 32
_LAGS = 3
_ENOUGH = 6.0
"""Intervals between arms of the same version that make a look at the candidate needless."""


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
        variance = math.fsum(math.fsum(variances) for _, variances in self._newest)
        if not variance:
            return 1.0, 0.0
        series = self._centred() if around_mean else [deviations for deviations, _ in self._newest]
        products = [_product(series, lag) for lag in range(_LAGS + 1)]
        count = float(len(series))
        freedom = max(count - 1, 1.0) / count if around_mean else 1.0
        long_run = max(products[0] + 2 * math.fsum(products[1:]), products[0])
        # Events so rare that most intervals have none say less than their number.
        return long_run / variance / freedom, min(count, variance)

    def _centred(self) -> list[list[float]]:
        """Without the mean shift of each category, which is what harm looks like."""
        shifts = []
        for index in range(len(self._newest[0][0])):
            spread = math.fsum(variances[index] for _, variances in self._newest)
            shift = math.fsum(deviations[index] for deviations, _ in self._newest)
            shifts.append(shift / spread if spread else 0.0)
        return [
            [d - shift * v for d, v, shift in zip(deviations, variances, shifts, strict=True)]
            for deviations, variances in self._newest
        ]

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
        self.same_version = Deviations()
        self.candidate = Deviations()

    @property
    def value(self) -> float:
        """So many answers count as one: at least 1."""
        measured, intervals = self.same_version.measure(around_mean=False)
        if intervals < _ENOUGH:
            other, more = self.candidate.measure(around_mean=True)
            measured = (measured * intervals + other * more) / max(intervals + more, 1e-9)
            intervals += more
        mixed = (self._assumed * self._weight + measured * intervals) / (self._weight + intervals)
        return max(mixed, 1.0)

    def as_json(self) -> dict[str, Any]:
        """All that the future depends on."""
        return {"same": self.same_version.as_json(), "candidate": self.candidate.as_json()}

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on where `as_json` was."""
        self.same_version.restore(known["same"])
        self.candidate.restore(known["candidate"])


def _product(series: Sequence[Sequence[float]], lag: int) -> float:
    return math.fsum(a * b for now, then in zip(series[lag:], series, strict=False) for a, b in zip(now, then, strict=True))
