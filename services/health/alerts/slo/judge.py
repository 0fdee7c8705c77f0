"""Judges whether promises are being broken, and says how they stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.alerts.memory.records import Slo
from services.health.alerts.slo.burning import (
    BURN_WINDOWS,
    MIN_COVERAGE,
    BurnWindow,
    Count,
    burns,
    is_alert,
    window_name,
)
from services.health.alerts.slo.counting import Counting, query_of

_JUDGED_EVERY_S = 10.0
_REPORT_KEPT_S = 60.0


@dataclass(frozen=True)
class Objective:
    """One of the things that are promised of a model."""

    model: str
    name: str
    """`availability` or `latency`."""
    target: float
    window_s: float
    limit_s: float = 0.0

    @property
    def alert(self) -> str:
        return "AvailabilityBurn" if self.name == "availability" else "LatencyBurn"

    @property
    def broken(self) -> str:
        return "fails too often" if self.name == "availability" else f"is too slow (over {self.limit_s * 1000:g} ms)"


@dataclass(frozen=True)
class Standing:
    """How an objective stands."""

    objective: str
    count: Count
    budget_left: float
    burn_rates: Mapping[str, float]
    coverage: float


class SloJudge:
    """Looks at the table's short windows, and at a long one only where its short one burns."""

    name = "slo"

    def __init__(self, slos: Callable[[], Iterable[Slo]], counting: Counting) -> None:
        self._slos = slos
        self._counting = counting
        self._judged: tuple[float, Sequence[Firing]] | None = None
        self._reports: dict[Slo, tuple[float, Sequence[Standing]]] = {}

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """Every budget that burns too fast. Raises LeptonError when the series cannot be read."""
        if self._judged is None or time.monotonic() - self._judged[0] >= _JUDGED_EVERY_S:
            firings = [
                firing
                for objective in objectives(self._slos())
                for window in BURN_WINDOWS
                if (firing := await self._look(objective, window, now_s)) is not None
            ]
            self._judged = (time.monotonic(), firings)
        return self._judged[1]

    async def report(self, slo: Slo, now_s: float) -> Sequence[Standing]:
        """How each objective stands. Raises LeptonError when the series cannot be read."""
        kept = self._reports.get(slo)
        if kept is None or time.monotonic() - kept[0] >= _REPORT_KEPT_S:
            self._reports = {each: found for each, found in self._reports.items() if each.id != slo.id}
            kept = time.monotonic(), [await self._standing(each, now_s) for each in objectives([slo])]
            self._reports[slo] = kept
        return kept[1]

    async def _look(self, objective: Objective, window: BurnWindow, now_s: float) -> Firing | None:
        target, slo_window_s = objective.target, objective.window_s
        short = await self._count(objective, window.short_s, now_s)
        if not burns(short, window, target, slo_window_s):
            return None
        long = await self._count(objective, window.long_s, now_s)
        if not is_alert(long, short, window, target, slo_window_s):
            return None
        coverage = await self._counting.coverage(objective.model, window.long_s, now_s)
        return None if coverage < MIN_COVERAGE else _firing(objective, window, long, short, coverage)

    async def _standing(self, objective: Objective, now_s: float) -> Standing:
        whole = await self._count(objective, objective.window_s, now_s)
        rates = {
            window_name(window.long_s): (await self._count(objective, window.long_s, now_s)).burn_rate(objective.target)
            for window in BURN_WINDOWS
        }
        coverage = await self._counting.coverage(objective.model, objective.window_s, now_s)
        return Standing(objective.name, whole, whole.budget_left(objective.target), rates, coverage)

    async def _count(self, objective: Objective, window_s: float, now_s: float) -> Count:
        if objective.name == "availability":
            return (await self._counting.answered(window_s, now_s)).get(objective.model, Count())
        return await self._counting.in_time(window_s, objective.limit_s, objective.model, now_s)


def objectives(slos: Iterable[Slo]) -> Iterator[Objective]:
    """What is promised, one by one."""
    for slo in slos:
        if slo.removed:
            continue
        if slo.availability is not None:
            yield Objective(slo.id, "availability", slo.availability, slo.window_s)
        if slo.latency_s is not None:
            yield Objective(slo.id, "latency", slo.latency_share, slo.window_s, slo.latency_s)


def _firing(objective: Objective, window: BurnWindow, long: Count, short: Count, coverage: float) -> Firing:
    model, rate = objective.model, long.burn_rate(objective.target)
    left_s = objective.window_s / rate
    said = f"{short.bad_share:.2%} of its requests in the last {window_name(window.short_s)}"
    partial = f" There is data of {coverage:.0%} of the window only." if coverage < 1 else ""
    return Firing(
        labels={
            ALERT_NAME: objective.alert,
            SEVERITY: window.severity,
            "model": model,
            "window": window_name(window.long_s),
        },
        annotations={
            "summary": f"Model {model} {objective.broken}: {said}, {1 - objective.target:.3%} are allowed.",
            "description": f"The budget of {window_name(objective.window_s)} burns {rate:.1f} times too fast: "
            f"at this pace all of it lasts {_rough(left_s)}.{partial}",
            "impact": f"callers of {model}",
            "share": f"{short.bad_share:.6f}",
            "query": query_of(objective.name, model, objective.limit_s, window.short_s),
            "runbook": f"docs/runbooks.md#{objective.alert.lower()}",
        },
        value=rate,
    )


def _rough(seconds: float) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.0f} days"
    return f"{seconds / 3600:.0f} hours" if seconds >= 2 * 3600 else f"{seconds / 60:.0f} minutes"
