"""Who is to be told what now: alerts in groups, each group in its time. Pure; the rules are Alertmanager's.

An alert that is new waits `group_wait` for others of its group; what changes later in a group that was told waits
`group_interval`; what stays as it is is told again after `repeat_interval`.
<https://prometheus.io/docs/alerting/latest/alertmanager/>, and `needsUpdate` of its deduplication stage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pydantic import JsonValue

from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert, Delivery, Group, digest
from services.health.alerts.muting import Muting
from services.health.alerts.receivers import Receiver

Reason = Literal["firing", "resolved", "repeated", "escalated"]


@dataclass(frozen=True)
class Pace:
    """How patient groups are, in seconds; the defaults are Alertmanager's, except that pages hardly wait."""

    page_wait_s: float = 2.0
    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    repeat_interval_s: float = 4 * 3600.0
    resolved_wait_s: float = 60.0
    """What has been over for less is not told to be over: it may be back."""


@dataclass(frozen=True)
class News:
    """What a notification tells."""

    receiver: Receiver
    group: str
    reason: Reason
    firing: Sequence[Alert]
    resolved: Sequence[Alert]


Write = Callable[[News], Mapping[str, JsonValue]]
"""Makes the document of a notification."""


@dataclass(frozen=True)
class Scene:
    """Everything that the planning depends on."""

    alerts: Mapping[str, Alert]
    groups: Mapping[str, Group]
    muting: Muting
    acknowledged: Collection[str]
    """Episodes."""
    receivers: Mapping[str, Receiver]
    now: Stamp
    pace: Pace = field(default_factory=Pace)

    @cached_property
    def by_episode(self) -> Mapping[str, Alert]:
        return {alert.episode: alert for alert in self.alerts.values()}


@dataclass(frozen=True)
class Plan:
    """What follows: deliveries that come into being together with what receivers will then have been told."""

    groups: Sequence[Group] = ()
    closed: Sequence[Group] = ()
    deliveries: Sequence[Delivery] = ()


def plan(scene: Scene, write: Write) -> Plan:
    """What is to be sent now."""
    groups: list[Group] = []
    closed = [group for group in scene.groups.values() if group.receiver not in scene.receivers]
    deliveries: list[Delivery] = []
    for before, receiver, firing in _groups(scene):
        group = _without_quiet_ends(scene, before)
        news = _news(scene, group, receiver, firing)
        if news is not None:
            group = _told(scene, group, news)
            if news.firing or receiver.resolved:
                deliveries.append(_delivery(scene, group, news, write))
        if firing or group.firing:
            if group != scene.groups.get(group.id):
                groups.append(group)
        elif group.id in scene.groups:
            closed.append(group)
    return Plan(groups, closed, deliveries)


def group_of(alert: Alert) -> str:
    """The group of an alert: its name, and the model or service that it is about."""
    subject = alert.labels.get("model") or alert.labels.get("service") or ""
    return f"{alert.name}/{subject}" if subject else alert.name


def _groups(scene: Scene) -> Iterator[tuple[Group, Receiver, list[Alert]]]:
    """Every group that is open or opens, with its receiver and those of its alerts that are to be told as firing."""
    found: dict[str, tuple[Group, Receiver, list[Alert]]] = {}
    for group in scene.groups.values():
        receiver = scene.receivers.get(group.receiver)
        if receiver is not None and not _is_mirrored(receiver):
            found[group.id] = (group, receiver, [])
    for alert in scene.alerts.values():
        for receiver in scene.receivers.values() if alert.is_firing and alert not in scene.muting else ():
            if _is_mirrored(receiver) or not receiver.wants(alert.labels, alert.severity):
                continue
            key = _group_id(receiver, alert)
            if (key in found and alert.episode in found[key][0].firing) or _is_due(scene, receiver, alert):
                fresh = Group(id=key, receiver=receiver.name, group=group_of(alert), opened=scene.now)
                found.setdefault(key, (fresh, receiver, []))[2].append(alert)
    yield from found.values()


def _is_mirrored(receiver: Receiver) -> bool:
    """Another Alertmanager groups by itself: it is shown what fires."""
    return receiver.kind == "alertmanager"


def _is_due(scene: Scene, receiver: Receiver, alert: Alert) -> bool:
    """Whether a receiver that only hears of what nobody looks after is to hear of it; others always are."""
    after_s = receiver.escalate_after_s
    if after_s is None:
        return True
    if alert.severity != "page" or alert.episode in scene.acknowledged or alert.fired is None:
        return False
    return elapsed_s(alert.fired, scene.now) >= after_s


def _news(scene: Scene, group: Group, receiver: Receiver, firing: list[Alert]) -> News | None:
    new = [alert for alert in firing if alert.episode not in group.firing]
    over = _over(scene, group)
    if group.told is None:
        wait_s = min((_wait_s(scene, receiver, each) for each in new), default=0.0)
        is_due = bool(new) and elapsed_s(group.opened, scene.now) >= wait_s
        return News(receiver, group.group, _reason(receiver), firing, ()) if is_due else None
    quiet_s = elapsed_s(group.told, scene.now)
    if (new or over) and quiet_s >= scene.pace.group_interval_s:
        reason: Reason = _reason(receiver) if new else "resolved"
        return News(receiver, group.group, reason, firing, over)
    unattended = any(alert.episode not in scene.acknowledged for alert in firing)
    if unattended and not new and quiet_s >= scene.pace.repeat_interval_s:
        return News(receiver, group.group, "repeated", firing, over)
    return None


def _reason(receiver: Receiver) -> Reason:
    return "firing" if receiver.escalate_after_s is None else "escalated"


def _wait_s(scene: Scene, receiver: Receiver, alert: Alert) -> float:
    if receiver.escalate_after_s is not None:
        return 0.0
    return scene.pace.page_wait_s if alert.severity == "page" else scene.pace.group_wait_s


def _over(scene: Scene, group: Group) -> list[Alert]:
    """Alerts that the receiver believes to fire and that have not for some time."""
    known = (scene.by_episode.get(episode) for episode in group.firing)
    return [
        alert
        for alert in known
        if alert is not None
        and alert.resolved is not None
        and elapsed_s(alert.resolved, scene.now) >= scene.pace.resolved_wait_s
    ]


def _without_quiet_ends(scene: Scene, group: Group) -> Group:
    """The group without what the receiver will not be told the end of: it is silenced, or was forgotten long ago."""
    quiet = {alert.episode for alert in _over(scene, group) if alert.id in scene.muting.silenced}
    left = tuple(each for each in group.firing if each in scene.by_episode and each not in quiet)
    return group if left == group.firing else group.model_copy(update={"firing": left})


def _told(scene: Scene, group: Group, news: News) -> Group:
    gone = {alert.episode for alert in news.resolved}
    before = [each for each in group.firing if each not in gone]
    now = [each.episode for each in news.firing if each.episode not in before]
    return group.model_copy(
        update={"told": scene.now, "firing": tuple(sorted([*before, *now])), "count": group.count + 1}
    )


def _delivery(scene: Scene, told: Group, news: News, write: Write) -> Delivery:
    """Its id says why it is sent: another replica that goes on from the same group makes the same. It brings along what
    its receiver then knows: a leader may be killed when the delivery is shared and the group not yet."""
    firing, resolved = (sorted(each.episode for each in some) for some in (news.firing, news.resolved))
    return Delivery(
        id=digest([told.id, news.reason, firing, resolved, told.count, told.opened.wall_s], 32),
        receiver=news.receiver.name,
        group=news.group,
        reason=news.reason,
        document=write(news),
        alerts=tuple(sorted({each.id for each in (*news.firing, *news.resolved)})),
        told=told,
        created=scene.now,
        due=scene.now,
    )


def _group_id(receiver: Receiver, alert: Alert) -> str:
    return digest([receiver.name, group_of(alert)])
