"""Everything about alerts wired together: the desk of each replica, and the engine of the one that leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lepton_ai.mesh.discovery.leader import Leader
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import registry_pb2
from services.health.alerts.causes.explaining import Explainer, Witnesses
from services.health.alerts.desk import AlertDesk
from services.health.alerts.engine import AlertEngine, Changes, Manner, Parts
from services.health.alerts.firing import Judge
from services.health.alerts.grouping import Pace
from services.health.alerts.judges.notifications import NotificationJudge
from services.health.alerts.memory.clock import Clock
from services.health.alerts.memory.lead import HealthLead
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Slo
from services.health.alerts.memory.shared import SharedLedger
from services.health.alerts.notify.heartbeat import Heartbeat
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.notify.sender import NotificationSender
from services.health.alerts.panel import Panel
from services.health.alerts.receivers import load_receivers
from services.health.alerts.slo.counting import Counting
from services.health.alerts.slo.judge import SloJudge
from services.health.alerts.slo.packages import Descriptions, PackageSlos
from services.health.metrics.series import SeriesReader
from services.health.settings import HealthSettings

_PACKAGES_EVERY_S = 5.0


@dataclass(frozen=True)
class Sources:
    """What alerts are made of."""

    judges: Sequence[Judge]
    deployments: Callable[[], Mapping[str, registry_pb2.Deployment]] = dict
    descriptions: Descriptions | None = None
    series: SeriesReader | None = None
    """Without it promises are remembered, and not judged."""
    changes: Changes | None = None
    witnesses: Witnesses = field(default_factory=Witnesses)
    """Who knows what may have caused an alert."""


class AlertStation:
    """Runs from `start()` to `close()`."""

    def __init__(self, settings: HealthSettings, state: StateStore, sources: Sources) -> None:
        """Opens the file of alerts. Raises FailedPrecondition, InvalidInput for wrong receivers."""
        clock = Clock()
        receivers = load_receivers(settings.receivers_file)
        self._ledger = Ledger(settings.data_dir / "alerts.sqlite")
        self._shared = SharedLedger(state, self._ledger)
        self._sender = NotificationSender(self._ledger, receivers, clock, timeout_s=settings.notify_timeout_s)
        self.slo: SloJudge | None = None
        judges = [*sources.judges, NotificationJudge(self._ledger, clock, self._last_attempts)]
        if sources.series is not None:
            self.slo = SloJudge(lambda: self._ledger.of(Slo).values(), Counting(sources.series))
            judges.append(self.slo)
        self._heartbeat = Heartbeat(
            settings.watchdog_url.get_secret_value() if settings.watchdog_url is not None else "",
            self._sender.http,
            interval_s=settings.watchdog_interval_s,
            node=self._ledger.node,
        )
        parts = Parts(
            ledger=self._ledger,
            panel=Panel(judges, timeout_s=settings.judge_timeout_s),
            sender=self._sender,
            heartbeat=self._heartbeat,
            clock=clock,
            receivers=receivers,
            shared=self._shared,
            changes=sources.changes,
            explainer=Explainer(sources.witnesses),
        )
        self._engine = AlertEngine(parts, _manner(settings))
        self._leader = Leader(HealthLead(state, self._ledger), None, [self._engine])
        leads = lambda: self._leader.leads  # noqa: E731
        self.desk = AlertDesk(self._ledger, self._sender, receivers, clock, leads, settings.console_url or "")
        self._packages = (
            PackageSlos(self._ledger, sources.deployments, sources.descriptions) if sources.descriptions else None
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin: whoever leads judges and notifies, the others follow."""
        await self._shared.start()
        self._leader.start()
        self._tasks = [run_loop(self._engine.follow, name="follow alerts")]
        if self._packages is not None:
            self._tasks.append(run_loop(self._read_packages, name="promises of packages"))

    async def close(self) -> None:
        """Give the lead away, and close the file."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._leader.close()
        await self._shared.flush(1.0)
        await self._shared.close()
        await self._sender.close()
        await self._ledger.close()

    async def _read_packages(self) -> None:
        assert self._packages is not None  # noqa: S101 - started only with it
        while True:
            if self._leader.leads:
                await self._packages.refresh()
            await asyncio.sleep(_PACKAGES_EVERY_S)

    def _last_attempts(self) -> Sequence[tuple[str, Outcome]]:
        shown = [(mirror.receiver.name, mirror.last) for mirror in self._engine.mirrors]
        return [*shown, ("watchdog", self._heartbeat.last)]


def _manner(settings: HealthSettings) -> Manner:
    return Manner(
        interval_s=settings.alert_interval_s,
        pace=Pace(
            page_wait_s=settings.group_wait_page_s,
            group_wait_s=settings.group_wait_s,
            group_interval_s=settings.group_interval_s,
            repeat_interval_s=settings.repeat_interval_s,
            resolved_wait_s=settings.resolved_wait_s,
        ),
        max_alerts=settings.max_alerts,
        keep_s=settings.keep_alerts_s,
        console_url=settings.console_url or "",
    )
