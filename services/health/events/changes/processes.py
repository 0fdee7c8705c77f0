"""Processes that joined, left, were restarted or set differently, by comparison with what was known before. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lepton_ai.mesh.discovery.process_facts import ProcessFacts
from lepton_ai.mesh.discovery.records import Endpoint
from services.health.events.event import Event

CONFIRM_S = 3.0
"""A process is told to have left when it has been away for so long: after a silence of etcd all leases run out at once,
and the processes register again."""
SETTLE_S = 30.0
"""A number of replicas counts as meant when it has stood for so long: a restart takes less."""
_FORGET_S = 86_400.0
_FRESH_S = 600.0
_DEFAULT = "default"


@dataclass(frozen=True)
class Known:
    """A process that was met."""

    service: str
    address: str
    release: str = ""
    started_ms: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    gone_s: float = 0.0
    """Since when it is away; 0 while it is there."""
    told_gone: bool = False


@dataclass(frozen=True)
class Replicas:
    """How many processes a service has."""

    settled: int = 0
    """0: not known yet."""
    now: int = 0
    since_s: float = 0.0


def compare_processes(
    known: Mapping[str, Known], present: Iterable[Endpoint], now_s: float
) -> tuple[list[Event], dict[str, Known]]:
    """What happened since, and what is known now; by service/address."""
    events: list[Event] = []
    found: dict[str, Known] = {}
    for endpoint in present:
        facts = ProcessFacts.of(endpoint)
        process = Known(endpoint.service, endpoint.address, facts.release, facts.started_ms, facts.settings)
        found[f"{process.service}/{process.address}"] = process
    missing = [each for key, each in known.items() if key not in found]
    for key, process in found.items():
        before = known.get(key)
        events += _arrival(before, process, now_s)
        events += _settings_change(before or _predecessor(process, missing), process, now_s)
    for key, before in known.items():
        if key in found or (before.gone_s and now_s - before.gone_s > _FORGET_S):
            continue
        gone_s = min(before.gone_s or now_s, now_s)  # the clock may have been put back
        is_sure = now_s - gone_s >= CONFIRM_S
        if is_sure and not before.told_gone:
            events.append(_event("replica_left", before, f"{_name(before)} left", gone_s))
        found[key] = replace(before, gone_s=gone_s, told_gone=is_sure)
    return events, found


def compare_replicas(
    known: Mapping[str, Replicas], present: Iterable[Endpoint], now_s: float
) -> tuple[list[Event], dict[str, Replicas]]:
    """Services that have more or fewer replicas than before, for good; by service."""
    counts = Counter(endpoint.service for endpoint in present)
    events: list[Event] = []
    found: dict[str, Replicas] = {}
    for service in sorted(known.keys() | counts.keys()):
        before = known.get(service, Replicas())
        count = counts[service]
        is_same = count == before.now and before.since_s <= now_s
        now = before if is_same else replace(before, now=count, since_s=now_s)
        # None is an outage and not a size that somebody wants.
        if now.now != now.settled and now.now and now_s - now.since_s >= SETTLE_S:
            if now.settled:
                title = f"{service} has {now.now} {'replica' if now.now == 1 else 'replicas'}, it had {now.settled}"
                details = {"before": str(now.settled), "after": str(now.now)}
                events.append(Event(now.since_s, "scale", title, {"service": service}, details=details))
            now = replace(now, settled=now.now)
        found[service] = now
    return events, found


def is_pending(processes: Mapping[str, Known], replicas: Mapping[str, Replicas]) -> bool:
    """Whether time alone may make news of what is known."""
    return any(each.gone_s and not each.told_gone for each in processes.values()) or any(
        each.now != each.settled and each.now for each in replicas.values()
    )


def _arrival(before: Known | None, now: Known, now_s: float) -> list[Event]:
    began_s = now.started_ms / 1000
    is_fresh = not now.started_ms or now_s - began_s < _FRESH_S
    time_s = min(now_s, began_s) if now.started_ms and is_fresh else now_s
    if before is None:
        return [_event("replica_joined", now, f"{_name(now)} joined", time_s)] if is_fresh else []
    if before.started_ms != now.started_ms:
        away = f" after {now_s - before.gone_s:.0f} s" if before.told_gone else ""
        return [_event("restart", now, f"{_name(now)} was restarted{away}", time_s)]
    if before.told_gone:
        return [_event("replica_joined", now, f"{_name(now)} is back after {now_s - before.gone_s:.0f} s", now_s)]
    return []


def _settings_change(before: Known | None, now: Known, now_s: float) -> list[Event]:
    """Of a process that was restarted, or came in the place of one that left."""
    if before is None or before.started_ms == now.started_ms or not now.started_ms:
        return []
    names = sorted(before.settings.keys() | now.settings.keys())
    changes = {
        name: f"{before.settings.get(name, _DEFAULT)} → {now.settings.get(name, _DEFAULT)}"
        for name in names
        if before.settings.get(name) != now.settings.get(name)
    }
    if before.release != now.release:
        changes["release"] = f"{before.release or 'unknown'} → {now.release or 'unknown'}"
    if not changes:
        return []
    what = ", ".join(f"{name} {change}" for name, change in changes.items())
    time_s = now.started_ms / 1000 if 0 <= now_s - now.started_ms / 1000 < _FRESH_S else now_s
    event = _event("settings", now, f"{_name(now)} is set differently: {what}"[:500], time_s)
    return [replace(event, details=changes)]


def _predecessor(process: Known, missing: Iterable[Known]) -> Known | None:
    """The process of the service that went last: a new one at another address may be in its place."""
    gone = [each for each in missing if each.service == process.service]
    return max(gone, key=lambda each: each.gone_s or math.inf, default=None)


def _name(process: Known) -> str:
    return f"{process.service} {process.address}"


def _event(kind: str, process: Known, title: str, time_s: float) -> Event:
    labels = {"service": process.service, "instance": process.address}
    # Which process it was of all that were there: told once, also by a health service that starts again.
    return Event(time_s, kind, title, labels, key=f"{kind}/{_name(process)}/{process.started_ms}/{process.gone_s:.0f}")
