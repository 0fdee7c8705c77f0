"""The alert engine: round after round it hears the judges, keeps the alerts, and tells who is to be told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.loops import run_loop
from services.health.alerts.causes.explaining import Explainer
from services.health.alerts.grouping import Pace, Plan, Scene, plan
from services.health.alerts.lifecycle import Outcome, advance, is_given_up, is_news
from services.health.alerts.memory.book import Happening
from services.health.alerts.memory.clock import Clock, Stamp, elapsed_s
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import (
    Acknowledgement,
    Alert,
    AlertState,
    Delivery,
    DeliveryState,
    Group,
    Record,
    Silence,
)
from services.health.alerts.memory.shared import SharedLedger
from services.health.alerts.muting import Muting, is_active, mute
from services.health.alerts.notify.alertmanager import AlertmanagerMirror
from services.health.alerts.notify.heartbeat import Heartbeat
from services.health.alerts.notify.message import Writer, summary_of
from services.health.alerts.notify.sender import NotificationSender
from services.health.alerts.panel import Panel
from services.health.alerts.receivers import Receiver
from services.health.events.event import Event

_FLUSH_S = 1.0
_TIDY_EVERY_S = 30.0
_CHANGES_WITHIN_S = 3600.0
_CHANGES_TIMEOUT_S = 1.0
_LOG = logging.getLogger(__name__)


class Changes(Protocol):
    """The time line: what was changed, and when alerts began and ended."""

    async def find(self, *, start_s: float, end_s: float) -> Sequence[Event]:
        """What happened between two moments. Raises LeptonError."""

    async def add(self, event: Event) -> None:
        """Add an event. Raises LeptonError."""


@dataclass(frozen=True)
class Manner:
    """How the engine works; see the settings of the same names."""

    interval_s: float = 2.0
    pace: Pace = field(default_factory=Pace)
    max_alerts: int = 1000
    keep_s: float = 86_400.0
    """How long resolved alerts, ended silences and done deliveries are kept."""
    max_done: int = 2000
    """Of each kind, at most."""
    console_url: str = ""


@dataclass(frozen=True)
class Parts:
    """What the engine works with."""

    ledger: Ledger
    panel: Panel
    sender: NotificationSender
    heartbeat: Heartbeat
    clock: Clock
    receivers: Mapping[str, Receiver]
    shared: SharedLedger | None = None
    """None where there can be no other replica."""
    changes: Changes | None = None
    explainer: Explainer | None = None


class AlertEngine:
    """Work of the leader among the replicas: judges, and tells."""

    def __init__(self, parts: Parts, manner: Manner) -> None:
        self._ledger = parts.ledger
        self._shared = parts.shared
        self._panel = parts.panel
        self._sender = parts.sender
        self._heartbeat = parts.heartbeat
        self._clock = parts.clock
        self._receivers = parts.receivers
        self._changes = parts.changes
        self._explainer = parts.explainer
        self._manner = manner
        self._mirrors = [
            AlertmanagerMirror(each, parts.sender.http, parts.clock)
            for each in parts.receivers.values()
            if each.kind == "alertmanager"
        ]
        self._task: asyncio.Task[None] | None = None
        self._tidied: Stamp | None = None

    @property
    def mirrors(self) -> Sequence[AlertmanagerMirror]:
        """The Alertmanagers that are shown what fires."""
        return self._mirrors

    async def follow(self) -> None:
        """Judge while another replica leads, and tell nothing: judges that learn know the platform when it is gone."""
        while True:
            if self._task is None or self._task.done():
                await self._panel.hear(self._manner.interval_s / 2)
            await asyncio.sleep(self._manner.interval_s)

    def start(self) -> None:
        """Begin to judge and to tell."""
        self._task = run_loop(self._run, name="alerts")

    async def close(self) -> None:
        """Stop; another replica may go on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._shared is not None:
            self._shared.step_down()
        await asyncio.gather(self._panel.close(), self._sender.stop(), self._heartbeat.close())
        await asyncio.gather(*(mirror.close() for mirror in self._mirrors))

    async def round(self) -> None:
        """One round: judge, write down, share, tell."""
        outcomes = await self._panel.hear(self._manner.interval_s / 2)
        await self.take(outcomes)
        self._heartbeat.beat(sum(alert.is_firing for alert in self._ledger.of(Alert).values()))

    async def take(self, outcomes: Sequence[Outcome]) -> None:
        """Let alerts and notifications follow from what judges said."""
        now = self._clock.now()
        history: list[Happening] = []
        advanced = {each.id: each for each in self._advance(outcomes, now, history)}
        alerts = {**self._ledger.of(Alert), **advanced}
        explained = await self._explainer.explain(alerts.values(), now) if self._explainer is not None else []
        changed = list((advanced | {each.id: each for each in explained}).values())
        alerts |= {each.id: each for each in explained}
        muting = mute(alerts.values(), self._ledger.of(Silence).values(), now)
        writer = Writer(now, alerts, muting, await self._recent(now, changed), self._manner.console_url)
        planned = plan(self._scene(alerts, muting, now), writer.write)
        await self._save(changed, planned, history)
        if self._shared is not None and planned.deliveries:
            await self._shared.flush(_FLUSH_S)
        self._sender.send_due()
        for mirror in self._mirrors:
            mirror.show(list(alerts.values()), muting)
        await self._tidy(now)

    async def _run(self) -> None:
        if self._shared is not None:
            await self._shared.take_over()
        await self._ledger.note_led(leads=True)
        while True:
            begun_s = asyncio.get_running_loop().time()
            await self.round()
            spent_s = asyncio.get_running_loop().time() - begun_s
            await asyncio.sleep(max(self._manner.interval_s - spent_s, self._manner.interval_s / 10))

    def _advance(self, outcomes: Sequence[Outcome], now: Stamp, history: list[Happening]) -> list[Alert]:
        alerts = dict(self._ledger.of(Alert))
        untold = {episode for group in self._ledger.of(Group).values() for episode in group.firing}
        changed: dict[str, Alert] = {}
        for outcome in outcomes:
            for after in advance(alerts, outcome, now, max_alerts=self._manner.max_alerts, untold=untold):
                before = self._ledger.of(Alert).get(after.id)
                alerts[after.id] = changed[after.id] = after
                if is_news(before, after) and not is_given_up(before, after):
                    history.append(
                        Happening(after.id, now.wall_s, after.state.value, after.annotations.get("summary", ""))
                    )
        return list(changed.values())

    def _scene(self, alerts: Mapping[str, Alert], muting: Muting, now: Stamp) -> Scene:
        return Scene(
            alerts=alerts,
            groups=self._ledger.of(Group),
            muting=muting,
            acknowledged=self._ledger.of(Acknowledgement).keys(),
            receivers=self._receivers,
            now=now,
            pace=self._manner.pace,
        )

    async def _save(self, changed: Sequence[Alert], planned: Plan, history: Sequence[Happening]) -> None:
        """What restarts must know is written; the rest of what has changed is found again by the next round."""
        known = self._ledger.of(Alert)
        news: list[Alert] = []
        explained: list[Alert] = []
        gone: list[Alert] = []
        for each in changed:
            if each.state is AlertState.RESOLVED and each.fired is None:  # it never became an alert
                gone += [each] if each.id in known else []
            elif is_news(known.get(each.id), each):
                news.append(each)
            elif known[each.id].causes != each.causes:
                explained.append(each)
            else:
                self._ledger.remember([each])
        await self._ledger.save(
            [*news, *explained, *planned.groups, *planned.deliveries], [*gone, *planned.closed], history
        )
        await self._put_on_time_line(news)

    async def _put_on_time_line(self, news: Sequence[Alert]) -> None:
        """When alerts begin and end. Without the time line they are alerts all the same."""
        if self._changes is None:
            return
        for alert in news:
            ended = alert.resolved or alert.fired
            if ended is None:
                continue
            title = summary_of(alert) if alert.is_firing else f"Over: {summary_of(alert)}"
            details = {"fingerprint": alert.id, "state": alert.state.value}
            event = Event(ended.wall_s, "alert", title, alert.labels, details=details)
            try:
                async with asyncio.timeout(_CHANGES_TIMEOUT_S):
                    await self._changes.add(event)
            except (LeptonError, TimeoutError) as error:
                _LOG.warning("an alert is not put on the time line: %s", error)

    async def _recent(self, now: Stamp, changed: Sequence[Alert]) -> Sequence[Event]:
        """What was changed lately, where somebody may be told so. Without it alerts are told, too."""
        if self._changes is None or not (changed or self._ledger.of(Group)):
            return ()
        try:
            async with asyncio.timeout(_CHANGES_TIMEOUT_S):
                return await self._changes.find(start_s=now.wall_s - _CHANGES_WITHIN_S, end_s=now.wall_s)
        except (LeptonError, TimeoutError) as error:
            _LOG.warning("what was changed lately is not known: %s", error)
            return ()

    async def _tidy(self, now: Stamp) -> None:
        """Forget what was over long ago, and the oldest of too many."""
        if self._tidied is not None and elapsed_s(self._tidied, now) < _TIDY_EVERY_S:
            return
        self._tidied = now
        gone: list[Record] = []

        def records(kind: type[Record]) -> Iterable[Record]:
            return self._ledger.of(kind).values()

        for kind in (Alert, Silence, Delivery):
            over = [
                (ended, each) for each in self._ledger.of(kind).values() if (ended := _ended(each, now)) is not None
            ]
            over.sort(key=lambda pair: elapsed_s(pair[0], now))
            old = [each for ended, each in over if elapsed_s(ended, now) > self._manner.keep_s]
            gone += {each.id: each for each in (*old, *(each for _, each in over[self._manner.max_done :]))}.values()
        episodes = {alert.episode for alert in self._ledger.of(Alert).values() if alert not in gone}
        gone += [each for each in self._ledger.of(Acknowledgement).values() if each.id not in episodes]
        await self._ledger.save(drop=gone)


def _ended(record: Record, now: Stamp) -> Stamp | None:
    """When a record's subject was over; None for what is not."""
    if isinstance(record, Alert):
        return record.resolved if record.state is AlertState.RESOLVED else None
    if isinstance(record, Delivery):
        return record.finished if record.state is not DeliveryState.PENDING else None
    if isinstance(record, Silence) and not is_active(record, now):
        return record.ended or record.created
    return None
