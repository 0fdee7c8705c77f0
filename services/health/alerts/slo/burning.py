"""How fast a budget of failures burns: which windows are looked at, and when that is worth an alert. Pure.

Multi-window, multi-burn-rate alerts of the SRE workbook, chapter 5 ("Alerting on SLOs"), table 5-8: for a window of 30
days they page at 14.4 and 6 times the allowed rate, and write tickets at 3 times and once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.health.alerts.memory.records import Severity

MIN_BAD = 10
"""So many bad requests there must be in the long window: a failure among few requests says nothing."""
MIN_COVERAGE = 1 / 12
"""Of the long window there must be at least so much data: as much as a short window is long."""


@dataclass(frozen=True)
class BurnWindow:
    """A row of the table: this part of the whole budget, spent within the long window, and still being spent."""

    severity: Severity
    long_s: float
    short_s: float
    budget_share: float

    def factor(self, slo_window_s: float) -> float:
        """How many times the allowed rate that is."""
        return self.budget_share * slo_window_s / self.long_s


BURN_WINDOWS: tuple[BurnWindow, ...] = (
    BurnWindow("page", 3600.0, 300.0, 0.02),
    BurnWindow("page", 6 * 3600.0, 1800.0, 0.05),
    BurnWindow("ticket", 86400.0, 2 * 3600.0, 0.10),
    BurnWindow("ticket", 3 * 86400.0, 6 * 3600.0, 0.10),
)


@dataclass(frozen=True)
class Count:
    """Requests of one model in some time, and those of them that were bad. Not whole: rates are extrapolated."""

    requests: float = 0.0
    bad: float = 0.0

    @property
    def bad_share(self) -> float:
        return self.bad / self.requests if self.requests > 0 else 0.0

    def burn_rate(self, target: float) -> float:
        """How many times as fast as allowed they burn the budget of a target, a share between 0 and 1."""
        return self.bad_share / (1 - target)

    def budget_left(self, target: float) -> float:
        """Part of the budget that is left after them: 1 is all, below 0 it is overdrawn."""
        return 1 - self.burn_rate(target)


def burns(short: Count, window: BurnWindow, target: float, slo_window_s: float) -> bool:
    """Whether the budget burns right now as fast as a row of the table forbids."""
    return short.burn_rate(target) >= window.factor(slo_window_s)


def is_alert(long: Count, short: Count, window: BurnWindow, target: float, slo_window_s: float) -> bool:
    """Whether it burns, and has burnt for long and often enough to mean something."""
    factor = window.factor(slo_window_s)
    return long.bad >= MIN_BAD and min(short.burn_rate(target), long.burn_rate(target)) >= factor


def within(buckets: Mapping[float, float], limit_s: float) -> Count:
    """Answers, and those slower than a limit, from cumulative buckets (upper bound → answers).

    Between two bounds answers are taken to be spread evenly, as PromQL's histogram_quantile does.
    """
    bounds: Sequence[float] = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    below_s, below = 0.0, 0.0
    for bound in bounds:
        if bound >= limit_s:
            part = (limit_s - below_s) / (bound - below_s) if math.isfinite(bound) else 0.0
            return Count(total, max(0.0, total - below - (buckets[bound] - below) * part))
        below_s, below = bound, buckets[bound]
    return Count(total, 0.0)


def window_name(seconds: float) -> str:
    """As PromQL writes it: 5m, 1h, 3d."""
    units: Iterable[tuple[str, float]] = (("d", 86400.0), ("h", 3600.0), ("m", 60.0))
    for unit, length_s in units:
        if seconds >= length_s and seconds % length_s == 0:
            return f"{seconds / length_s:g}{unit}"
    return f"{seconds:g}s"
