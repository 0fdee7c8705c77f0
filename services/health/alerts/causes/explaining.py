"""Looks for causes when an alert begins to fire, and for a minute longer: some are known a little later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lepton_ai.errors import LeptonError
from services.health.alerts.causes.clues import AFTER_S, CHANGES, COMINGS, WITHIN_S
from services.health.alerts.causes.evidence import Evidence, LoggedKind, Pressure
from services.health.alerts.causes.layers import weights_of
from services.health.alerts.causes.queries import FAILURES, HOGS, PRESSURES, SILENT, Gauge
from services.health.alerts.causes.ranking import rank
from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert
from services.health.events.event import Event
from services.health.metrics.series import SeriesReader
from services.health.promql.evaluation import evaluate

_FOR_S, _EVERY_S = 60.0, 10.0
_TIMEOUT_S = 1.0
_MOST = 50
"""Alerts in one look; when more begin at once, the most urgent are explained."""
_URGENCY = ("page", "ticket", "info")
_MOST_CHANGES = 500
_log = logging.getLogger(__name__)


class Logs(Protocol):
    """Where log records are kept by kind."""

    async def met_since(self, since_s: float) -> Sequence[LoggedKind]:
        """Kinds of records that came since then, with how many did. Raises LeptonError."""


class Changes(Protocol):
    """The time line."""

    async def find(self, *, start_s: float, end_s: float, kinds: Collection[str], limit: int) -> Sequence[Event]:
        """What happened of these kinds between two moments, the newest first. Raises LeptonError."""


@dataclass(frozen=True)
class Witnesses:
    """Who is asked; None: nobody knows."""

    series: SeriesReader | None = None
    changes: Changes | None = None
    logs: Logs | None = None


@dataclass
class Explainer:
    """Gives alerts that have begun to fire their causes."""

    witnesses: Witnesses
    _looked: dict[str, Stamp] = field(default_factory=dict)
    """Episode → when causes were looked for last."""

    async def explain(self, alerts: Iterable[Alert], now: Stamp) -> list[Alert]:
        """Those whose causes are others than before; what cannot be found out in a second is left out."""
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
        changes, logs, measured = await asyncio.gather(self._changes(now_s), self._logs(now_s), self._measured(now_s))
        return Evidence(
            now_s=now_s,
            alerts=[each for each in alerts if each.fired is not None],
            changes=changes,
            logs=logs,
            failures=measured.failures,
            silent=measured.silent,
            pressures=measured.pressures,
            hogs=measured.hogs,
        )

    async def _changes(self, now_s: float) -> Sequence[Event]:
        if self.witnesses.changes is None:
            return ()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self.witnesses.changes.find(
                    start_s=now_s - 2 * WITHIN_S, end_s=now_s + AFTER_S, kinds=CHANGES | COMINGS, limit=_MOST_CHANGES
                )
        except (LeptonError, TimeoutError) as error:
            _log.warning("what was changed is not known, so alerts are explained without it: %s", error)
            return ()

    async def _logs(self, now_s: float) -> Sequence[LoggedKind]:
        if self.witnesses.logs is None:
            return ()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self.witnesses.logs.met_since(now_s - 600.0)
        except (LeptonError, TimeoutError) as error:
            _log.warning("what was logged is not known, so alerts are explained without it: %s", error)
            return ()

    async def _measured(self, now_s: float) -> Evidence:
        """What measurements say; nothing where they do not say it in time."""
        series = self.witnesses.series
        if series is None:
            return Evidence(now_s)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return Evidence(
                    now_s=now_s,
                    failures=await evaluate(FAILURES, series, now_s),
                    silent=[each.labels for each in await evaluate(SILENT, series, now_s)],
                    pressures=await _read(PRESSURES, series, now_s),
                    hogs=await _read(HOGS, series, now_s),
                )
        except (LeptonError, TimeoutError) as error:
            _log.warning("what is measured is not known, so alerts are explained without it: %s", error)
            return Evidence(now_s)


async def _read(gauges: Sequence[Gauge], series: SeriesReader, now_s: float) -> list[Pressure]:
    found: list[Pressure] = []
    for gauge in gauges:
        samples = await evaluate(gauge.query, series, now_s)
        found += [
            Pressure(gauge.write(each.labels, each.value), gauge.query, gauge.strength, gauge.about) for each in samples
        ]
    return found
