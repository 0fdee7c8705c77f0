"""Alerts, moments and an engine for tests, without sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lepton_ai.errors import FailedPrecondition
from services.health.alerts.engine import AlertEngine, Manner, Parts
from services.health.alerts.firing import Firing
from services.health.alerts.grouping import Pace
from services.health.alerts.lifecycle import Outcome, advance
from services.health.alerts.memory.clock import Clock, Stamp
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Alert, Delivery, DeliveryState
from services.health.alerts.notify.heartbeat import Heartbeat
from services.health.alerts.notify.outcome import Outcome as Sent
from services.health.alerts.notify.sender import NotificationSender, Patience
from services.health.alerts.panel import Panel
from services.health.alerts.receivers import Receiver

START_S = 1_800_000_000.0


def at(seconds: float, *, wall_ahead_s: float = 0.0, boot: str = "this") -> Stamp:
    """So many seconds after the beginning; `wall_ahead_s` is what somebody has set the wall clock forward since."""
    return Stamp(boot=boot, steady_s=1000.0 + seconds, wall_s=START_S + seconds + wall_ahead_s)


def firing(name: str = "ModelDown", severity: str = "page", *, pending_s: float = 0.0, **labels: str) -> Firing:
    return Firing({"alertname": name, "severity": severity, **labels}, {"summary": f"{name} it is"}, 1.0, pending_s)


def found(*firings: Firing, judge: str = "judge") -> Outcome:
    return Outcome(judge, firings)


def alert(name: str = "ModelDown", severity: str = "page", *, since: Stamp | None = None, **labels: str) -> Alert:
    """One that fires."""
    (made,) = advance({}, found(firing(name, severity, pending_s=0.0, **labels)), since or at(0), max_alerts=10)
    return made


def receiver(name: str = "ops", kind: str = "webhook", **more: Any) -> Receiver:
    return Receiver.model_validate({"name": name, "kind": kind, "url": "http://127.0.0.1:1/", **more})


@dataclass
class SetClock(Clock):
    """A clock that a test sets."""

    moment: Stamp = field(default_factory=lambda: at(0))

    def now(self) -> Stamp:
        return self.moment


@dataclass
class Said:
    """A judge that says what a test has it say."""

    name: str = "judge"
    firings: Sequence[Firing] = ()
    fault: Exception | None = None

    async def judge(self, now_s: float) -> Sequence[Firing]:
        if self.fault is not None:
            raise self.fault
        return self.firings


class Told(NotificationSender):
    """Notes what would be sent; `error` is what receivers answer."""

    def __init__(self, ledger: Ledger, receivers: Mapping[str, Receiver], clock: Clock) -> None:
        super().__init__(ledger, receivers, clock, timeout_s=1.0, patience=Patience(base_s=1.0, max_s=60.0))
        self.sent: list[Delivery] = []
        self.error = ""

    async def _deliver(self, receiver: Receiver, delivery: Delivery) -> Sent:
        if self.error:
            return Sent(self.error, 503)
        if receiver.name == "broken":
            raise FailedPrecondition("no url")
        self.sent.append(delivery)
        return Sent(status=200)

    @property
    def titles(self) -> list[str]:
        return [f"{each.receiver} {each.reason} {each.document['title']}" for each in self.sent]


class World:
    """An engine whose time a test moves, over a file that outlives it."""

    def __init__(self, path: Path, *receivers: Receiver, pace: Pace | None = None, **manner: Any) -> None:
        self.path = path
        self.receivers = {each.name: each for each in receivers or (receiver(),)}
        self.manner = Manner(pace=pace or Pace(), **manner)
        self.clock = SetClock()
        self.said = Said()
        self.open()

    def open(self) -> None:
        """Start anew from the file, as after a kill."""
        self.ledger = Ledger(self.path / "alerts.sqlite")
        self.sender = Told(self.ledger, self.receivers, self.clock)
        panel = Panel([self.said], timeout_s=1.0)
        heartbeat = Heartbeat("", self.sender.http, interval_s=60.0, node="n")
        parts = Parts(self.ledger, panel, self.sender, heartbeat, self.clock, self.receivers)
        self.engine = AlertEngine(parts, self.manner)

    async def round(self, seconds: float, *firings: Firing, wall_ahead_s: float = 0.0, boot: str = "this") -> list[str]:
        """One round at a time, in which this is wrong; returns the titles of what was sent in it."""
        before = len(self.sender.sent)
        self.clock.moment = at(seconds, wall_ahead_s=wall_ahead_s, boot=boot)
        self.said.firings = firings
        await self.engine.round()
        await self.arrived()
        return self.sender.titles[before:]

    async def arrived(self) -> None:
        """Wait for what is on its way."""
        await self.sender.stop()

    @property
    def states(self) -> dict[str, str]:
        return {each.name: each.state.value for each in self.ledger.of(Alert).values()}

    @property
    def pending(self) -> list[Delivery]:
        return [each for each in self.ledger.of(Delivery).values() if each.state is DeliveryState.PENDING]

    async def close(self) -> None:
        await self.engine.close()
        await self.sender.close()
        await self.ledger.close()
