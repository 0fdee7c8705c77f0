"""Looks for causes when an alert begins to fire, and for a minute longer: some are known a little later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from lepton_ai.errors import LeptonError
from services.health.alerts.causes.clues import AFTER_S, CHANGES, COMINGS, WITHIN_S, suspects
from services.health.alerts.causes.evidence import Evidence, LoggedKind, Pressure
from services.health.alerts.causes.layers import weights_of
from services.health.alerts.causes.queries import FAILURES, HOGS, PRESSURES, SILENT, Gauge
from services.health.alerts.causes.ranking import rank
from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert
from services.health.events.event import Event
from services.health.metrics.series import Matcher, Series, SeriesReader
from services.health.promql.evaluation import evaluate

_FOR_S, _EVERY_S = 60.0, 10.0
_TIMEOUT_S = 0.5
_MOST = 20
"""Alerts in one look; when more begin at once, the most urgent are explained."""
_URGENCY = ("page", "ticket", "info")
_MOST_CHANGES = 500
_LOGGED_S = 600.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Logs(Protocol):
    """Where log records are kept by kind."""

    async def met_since(self, since_s: float) -> Sequence[LoggedKind]:
        """Kinds of records that came since then, with how many did. Raises LeptonError."""


class Changes(Protocol):
    """The time line."""

    async def find(self, *, start_s: float, end_s: float, kinds: Collection[str], limit: int) -> Sequence[Event]:
        """What happened of these kinds between two moments, the newest first. Raises LeptonError."""


class Nobody:
    """Knows nothing."""

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        """See SeriesReader."""
        return ()

    async def find(self, *, start_s: float, end_s: float, kinds: Collection[str], limit: int) -> Sequence[Event]:
        """See Changes."""
        return ()

    async def met_since(self, since_s: float) -> Sequence[LoggedKind]:
        """See Logs."""
        return ()


@dataclass(frozen=True)
class Witnesses:
    """Who is asked."""

    series: SeriesReader = field(default_factory=Nobody)
    changes: Changes = field(default_factory=Nobody)
    logs: Logs = field(default_factory=Nobody)


@dataclass
class Explainer:
    """Gives alerts that have begun to fire their causes."""

    witnesses: Witnesses
    _looked: dict[str, Stamp] = field(default_factory=dict)
    """Episode → when causes were looked for last."""

    async def explain(self, alerts: Iterable[Alert], now: Stamp) -> list[Alert]:
        """Those whose causes are others than before; what cannot be found out in half a second is left out."""
        known = list(alerts)
        firing = {each.episode for each in known if each.is_firing}
        self._looked = {episode: at for episode, at in self._looked.items() if episode in firing}
        due = sorted(
            (each for each in known if self._is_due(each, now)), key=lambda each: _URGENCY.index(each.severity)
        )
        if not due:
            return []
        evidence = await self._gather(known, now.wall_s)
        explained = []
        for alert in due[:_MOST]:
            self._looked[alert.episode] = now
            causes = rank(alert, evidence)
            if causes and causes != alert.causes:
                explained.append(alert.model_copy(update={"causes": causes}))
        return explained

    def _is_due(self, alert: Alert, now: Stamp) -> bool:
        if not alert.is_firing or alert.severity not in _URGENCY or alert.fired is None or not weights_of(alert.name):
            return False
        looked = self._looked.get(alert.episode)
        return elapsed_s(alert.fired, now) < _FOR_S and (looked is None or elapsed_s(looked, now) >= _EVERY_S)

    async def _gather(self, alerts: Sequence[Alert], now_s: float) -> Evidence:
        """Everybody is asked at the same time; whoever does not answer in time is left out."""
        series, changes, logs = self.witnesses.series, self.witnesses.changes, self.witnesses.logs
        start_s, kinds = now_s - 2 * WITHIN_S, CHANGES | COMINGS
        found = await asyncio.gather(
            _heard("changes", changes.find(start_s=start_s, end_s=now_s + AFTER_S, kinds=kinds, limit=_MOST_CHANGES)),
            _heard("log records", logs.met_since(now_s - _LOGGED_S)),
            _heard("failures", evaluate(FAILURES, series, now_s)),
            _heard("silence", evaluate(SILENT, series, now_s)),
            _heard("pressure", _read(PRESSURES, series, now_s)),
            _heard("use", _read(HOGS, series, now_s)),
        )
        return Evidence(
            now_s=now_s,
            alerts=suspects(alerts, now_s),
            changes=found[0],
            logs=found[1],
            failures=found[2],
            silent=[each.labels for each in found[3]],
            pressures=found[4],
            hogs=found[5],
        )


async def _heard(what: str, answer: Awaitable[Sequence[T]]) -> Sequence[T]:
    """An answer, or nothing where there is none within half a second: an alert must not wait for its explanation."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await answer
    except (LeptonError, TimeoutError) as error:
        _log.info("alerts are explained without %s, which are not known now: %r", what, error)
        return ()


async def _read(gauges: Sequence[Gauge], series: SeriesReader, now_s: float) -> list[Pressure]:
    found: list[Pressure] = []
    for gauge in gauges:
        samples = await evaluate(gauge.query, series, now_s)
        found += [
            Pressure(gauge.write(each.labels, each.value), gauge.query, gauge.strength, gauge.about) for each in samples
        ]
    return found
