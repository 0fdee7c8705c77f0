"""Each kind of cause that an alert may have, found in the evidence. Pure: no clock, no I/O."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.health.alerts.causes.evidence import ERRORS_WITHIN_S, Evidence
from services.health.alerts.causes.layers import HOGGED, LAYER_OF, RESTARTS, Layer
from services.health.alerts.causes.queries import failures_of
from services.health.alerts.memory.records import Alert, Cause
from services.health.events.event import Event

WITHIN_S = 1800.0
"""A change so long before an alert may be its cause."""
COMINGS = frozenset({"restart", "replica_left", "serving_failed"})
CHANGES = frozenset({"deploy", "undeploy", "rollout", "alias", "settings", "scale"})
"""Kinds of events: what happened to processes, and what somebody did."""
AFTER_S = 120.0
"""What happens so shortly after an alert began may have begun before it: rules look at whole minutes."""
_OVER_WITHIN_S = 900.0
"""An alert that was over so long before may have left its marks in a number of the last minutes."""
_LOGGED_WITHIN_S = 300.0
_MOST_SUSPECTS = 100
"""Other alerts that are looked at for each: a storm must not keep health busy with explaining it."""
_PATH = frozenset({"inference", "triton", "preprocess"})
"""Services that every prediction goes through."""
_LONGEST = 200
_MEANINGS: Mapping[str, str] = {
    "UNAVAILABLE": "nobody was there to answer",
    "DEADLINE_EXCEEDED": "their time ran out",
    "RESOURCE_EXHAUSTED": "there was no room for them",
    "INTERNAL": "the model or its pipeline failed",
    "UNKNOWN": "the model or its pipeline failed",
    "DATA_LOSS": "data was damaged",
    "UNIMPLEMENTED": "the version cannot do that",
    "ABORTED": "they were given up halfway",
}


@dataclass(frozen=True)
class Clue:
    """A cause, and how well it fits in time, number and place, 0 to 1."""

    cause: Cause
    strength: float


def find_clues(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """Everything that may have caused it, in no order."""
    yield from _of_alerts(alert, evidence)
    yield from _of_processes(alert, evidence)
    yield from _of_changes(alert, evidence)
    yield from _of_logs(alert, evidence)
    yield from _of_errors(alert, evidence)
    yield from _of_machines(alert, evidence)


def suspects(alerts: Iterable[Alert], now_s: float) -> list[Alert]:
    """Alerts that others may follow from that begin now: of very many the deepest, and of those the newest."""
    found = [
        (layer, -each.began.wall_s, each.id, each)
        for each in alerts
        if each.fired is not None
        and (layer := LAYER_OF.get(each.name)) is not None
        and (each.resolved is None or now_s - each.resolved.wall_s <= _OVER_WITHIN_S + AFTER_S)
    ]
    return [each for *_, each in heapq.nsmallest(_MOST_SUSPECTS, found)]


def _of_alerts(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """What is wrong in a lower layer, or was just before."""
    layer = LAYER_OF.get(alert.name)
    for other in evidence.alerts:
        below = LAYER_OF.get(other.name)
        if layer is None or below is None or below >= layer or other.fired is None or other.id == alert.id:
            continue
        ended_s = other.resolved.wall_s if other.resolved is not None else evidence.now_s
        if not _may_concern(alert.labels, other.labels) or alert.began.wall_s - ended_s > _OVER_WITHIN_S:
            continue
        ahead_s = alert.began.wall_s - other.began.wall_s
        is_near = -AFTER_S <= ahead_s <= _LOGGED_WITHIN_S  # what has been wrong for a day explains little that is new
        summary = other.annotations.get("summary") or other.name
        text = f"An alert since {_clock_time(other.began.wall_s)} UTC: {summary}"
        if other.resolved is not None:
            text = f"An alert from {_clock_time(other.began.wall_s)} to {_clock_time(ended_s)} UTC: {summary}"
        # What users see of a fault explains less than the fault itself, and what is only worth knowing less still.
        depth = (1.0 if below < Layer.MODEL else 0.7) * (0.7 if other.severity == "info" else 1.0)
        yield Clue(_cause("alert", text, other.id), depth * (1.0 if is_near else 0.6))


def _of_processes(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """Who does not answer, who was started anew or left, and for a full machine who takes most of it."""
    for hog in evidence.hogs:
        if hog.about == HOGGED.get(alert.name) and alert.labels.get("service", "host") == "host":
            yield Clue(_cause("process", hog.text, hog.query), hog.strength)
    services = _services_of(alert.labels)
    for labels in evidence.silent:
        if _is_of(labels.get("service", ""), services) and alert.name != "ProcessDown":
            text = f"The {labels.get('service')} at {labels.get('instance')} does not answer when it is measured."
            yield Clue(_cause("process", text, "up == 0"), 1.0)
    comings: dict[str, list[Event]] = defaultdict(list)
    for event in evidence.changes:
        if event.kind == "restart" and alert.name in RESTARTS:
            continue  # that is the alert itself
        if event.kind in COMINGS and _is_of(event.labels.get("service", ""), services) and _fits(alert, event):
            comings[event.title].append(event)
    for title, events in comings.items():
        nearness = max(_nearness(alert, each.time_s) for each in events)
        text = f"At {_clock_time(events[0].time_s)} UTC: {title}"
        if len(events) > 1:
            text = f"At {_clock_time(events[0].time_s)} UTC, the last of {len(events)} times: {title}"
        yield Clue(_cause("process", text), min(1.0, nearness * (0.85 + 0.05 * len(events))))


def _of_changes(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """What somebody changed about its model, or about the services that it needs."""
    services = _services_of(alert.labels)
    for event in evidence.changes:
        is_of_service = bool(event.labels.get("service")) and _is_of(event.labels["service"], services)
        about = event.labels.get("model") or is_of_service
        if event.kind not in CHANGES or not about or not _fits(alert, event):
            continue
        if event.labels.get("model") and event.labels["model"] != alert.labels.get("model"):
            continue
        text = f"At {_clock_time(event.time_s)} UTC: {event.title}"
        if event.actor:
            text = f"At {_clock_time(event.time_s)} UTC, by {event.actor}: {event.title}"
        yield Clue(_cause("change", text), _nearness(alert, event.time_s))


def _of_logs(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """What its services logged around that time: what is new says most, then errors, then what comes often."""
    services = _services_of(alert.labels)
    for kind in evidence.logs:
        is_then = kind.last_s >= alert.began.wall_s - _LOGGED_WITHIN_S
        if not kind.count or not is_then or not _is_of(kind.service, services):
            continue
        if alert.name in RESTARTS and not kind.is_error:
            continue  # what each start warns of ends no process
        is_new = kind.first_s >= alert.began.wall_s - _LOGGED_WITHIN_S
        text = f"In the log of {kind.service}, {kind.count} ×: {kind.text}"
        if is_new:
            text = f"New in the log of {kind.service}, {kind.count} ×: {kind.text}"
        names_it = bool(alert.labels.get("model")) and alert.labels["model"] in kind.text
        strength = 0.4 + 0.3 * is_new + 0.15 * kind.is_error + 0.1 * names_it + 0.05 * (kind.count >= 10)
        yield Clue(_cause("log", text, str(kind.number)), min(1.0, strength))


def _of_errors(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """With which codes the calls of its model fail."""
    model, version = alert.labels.get("model"), alert.labels.get("version")
    counts: dict[str, float] = defaultdict(float)
    for sample in evidence.failures:
        if sample.labels.get("model") == model and version in (None, sample.labels.get("version")):
            counts[sample.labels.get("code", "")] += sample.value
    known = {code: count for code, count in counts.items() if round(count) >= 1 and code in _MEANINGS}
    if not model or not known:
        return
    codes = sorted(known, key=lambda code: -known[code])
    said = ", ".join(f"{code} {known[code]:.0f}" for code in codes[:3])
    minutes = f"{ERRORS_WITHIN_S / 60:.0f}"
    text = f"Calls that failed in {minutes} min: {said}; most of them as {_MEANINGS[codes[0]]}."
    yield Clue(_cause("errors", text, failures_of(model)), known[codes[0]] / sum(known.values()))


def _of_machines(alert: Alert, evidence: Evidence) -> Iterator[Clue]:
    """What is full."""
    for pressure in evidence.pressures:
        yield Clue(_cause("machine", pressure.text, pressure.query), pressure.strength)


def _services_of(labels: Mapping[str, str]) -> frozenset[str]:
    """The services that an alert with these labels may be the fault of; empty: any."""
    service = labels.get("of_service") or labels.get("service") or ""
    if labels.get("model"):
        return _PATH
    if service in ("inference", "triton") or labels.get("replica"):
        return frozenset({"inference", "triton"})
    return frozenset({service}) if service and service != "host" else frozenset()


def _is_of(service: str, services: frozenset[str]) -> bool:
    """Log files of several processes of a service are named inference-1, inference-2."""
    return not services or service in services or service.rpartition("-")[0] in services


def _may_concern(labels: Mapping[str, str], cause: Mapping[str, str]) -> bool:
    """Whether what is wrong with the subject of `cause` can be what is wrong with that of `labels`."""
    if cause.get("model"):
        return cause["model"] == labels.get("model")
    service = cause.get("of_service") or cause.get("service") or ""
    return not service or service in ("host", "etcd") or _is_of(service, _services_of(labels))


def _fits(alert: Alert, event: Event) -> bool:
    """Whether an event is of the time in which a cause may lie, and about the version that is in trouble."""
    ahead_s = alert.began.wall_s - event.time_s
    instance = alert.labels.get("instance")
    elsewhere = bool(instance and event.labels.get("instance")) and event.labels.get("instance") != instance
    of_other_model = event.kind == "serving_failed" and event.labels.get("model") != alert.labels.get("model")
    return -AFTER_S <= ahead_s <= WITHIN_S and not elsewhere and not of_other_model


def _nearness(alert: Alert, time_s: float) -> float:
    """1 for what happened just before, less for what was long before or came after."""
    ahead_s = alert.began.wall_s - time_s
    return 0.9 if ahead_s < 0 else 1.0 - 0.6 * min(1.0, ahead_s / WITHIN_S)


def _cause(kind: str, text: str, see: str = "") -> Cause:
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return Cause.model_validate({"kind": kind, "text": short, "see": see})


def _clock_time(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s, UTC):%H:%M:%S}"
