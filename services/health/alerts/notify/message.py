"""What a notification says: what, since when, for whom it matters, how bad, the likely cause, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from pydantic import JsonValue

from services.health.alerts.causes.ranking import command_of
from services.health.alerts.grouping import News
from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert
from services.health.alerts.muting import Muting
from services.health.events.event import Event

_MAX_ALERTS = 20
"""In one notification; how many more there are is told."""
_MAX_CHANGES = 3
_SUSPECT_S = 1800.0
"""A change so long before an alert may be its cause."""
_ABOUT = ("model", "version", "service", "instance")
_HIDDEN_SHOWN = 5


@dataclass(frozen=True)
class Writer:
    """Writes notifications with what is known at one moment."""

    now: Stamp
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    """All of them, by fingerprint."""
    muting: Muting = field(default_factory=Muting)
    changes: Sequence[Event] = ()
    console_url: str = ""

    def write(self, news: News) -> Mapping[str, JsonValue]:
        """The document of a notification: its texts, and Alertmanager's fields."""
        told = [*news.firing, *news.resolved]
        status = "firing" if news.firing else "resolved"
        shown = told[:_MAX_ALERTS]
        parts = [self._heading(news), *("\n".join(self._lines(alert)) for alert in shown)]
        if len(told) > len(shown):
            parts.append(f"{len(told) - len(shown)} more of this group.")
        return {
            "status": status,
            "severity": min((each.severity for each in told), key=("page", "ticket", "info").index, default="info"),
            "title": title_of(news),
            "text": "\n\n".join(parts),
            "groupKey": news.group,
            "groupLabels": {"alertname": told[0].name},
            "commonLabels": dict(_common([alert.labels for alert in told])),
            "commonAnnotations": dict(_common([alert.annotations for alert in told])),
            "externalURL": self.console_url,
            "truncatedAlerts": len(told) - len(shown),
            "alerts": [alert_document(alert, self._link(alert)) for alert in shown],
        }

    def _heading(self, news: News) -> str:
        if news.reason == "repeated":
            return "Still so, and nobody has acknowledged it:"
        if news.reason == "escalated":
            return "Nobody has acknowledged this page yet:"
        return "This is over:" if news.reason == "resolved" and not news.firing else "This needs somebody:"

    def _lines(self, alert: Alert) -> Iterator[str]:
        said = alert.annotations
        yield ("" if alert.is_firing else "Over: ") + summary_of(alert)
        if said.get("description"):
            yield said["description"]
        yield self._since(alert)
        whom = whom_of(alert)
        if whom:
            yield f"For whom: {whom}"
        if "share" in said:
            yield f"How bad: {_share(said['share'])} of requests"
        if alert.is_firing:
            yield from self._causes(alert)
            if said.get("runbook"):
                yield f"What to do: {said['runbook']}"
        yield from self._links(alert)
        yield f"Labels: {', '.join(f'{name}={value}' for name, value in sorted(alert.labels.items()))} [{alert.id}]"

    def _since(self, alert: Alert) -> str:
        if alert.resolved is not None:
            return f"From {_moment(alert.began)} to {_moment(alert.resolved)}"
        return f"Since {_moment(alert.began)}, {_duration(elapsed_s(alert.began, self.now))}"

    def _causes(self, alert: Alert) -> Iterator[str]:
        said = alert.annotations.get("cause", "")
        if said:
            yield f"Likely cause: {said}"
        for place, cause in enumerate(alert.causes):
            title = "Perhaps" if said or place else "Likely cause"
            yield f"{title}: {cause.text} ({command_of(cause)})"
        told = [cause.text for cause in alert.causes]
        for change in suspects(alert, self.changes):
            if any(change.title in text for text in told):
                continue
            by = f" (by {change.actor})" if change.actor else ""
            yield f"Shortly before: {change.title}{by}, {_clock_time(change.time_s)}"
        hidden = [self.alerts[each] for each in self.muting.hidden_by(alert) if each in self.alerts]
        if hidden:
            names = ", ".join(_short_name(each) for each in hidden[:_HIDDEN_SHOWN])
            more = f" and {len(hidden) - _HIDDEN_SHOWN} more" if len(hidden) > _HIDDEN_SHOWN else ""
            yield f"Follows from it, and is not told by itself: {names}{more}"

    def _links(self, alert: Alert) -> Iterator[str]:
        query, trace_id = (alert.annotations.get(name, "") for name in ("query", "trace_id"))
        if self.console_url:
            yield f"See: {self._link(alert)}"
        if query:
            yield f"Query: {query}"
        if query and self.console_url:
            yield f"Chart: {self._page('metrics')}?{urlencode({'q': query})}"
        if trace_id:
            page = f", {self._page('traces', trace_id)}" if self.console_url else ""
            yield f"Trace: lepton trace {trace_id}{page}"

    def _link(self, alert: Alert) -> str:
        return self._page("alerts", alert.id) if self.console_url else ""

    def _page(self, *path: str) -> str:
        """Of the console."""
        return "/".join((self.console_url.rstrip("/"), *(quote(each, safe="") for each in path)))


def title_of(news: News) -> str:
    """One line: how urgent, what, and how many."""
    told = news.firing or news.resolved
    first = min(told, key=lambda alert: (alert.severity != "page", alert.began.wall_s))
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return f"[{first.severity if news.firing else 'over'}] {summary_of(first)}{more}"[:200]


def summary_of(alert: Alert) -> str:
    """One sentence."""
    return alert.annotations.get("summary") or _short_name(alert)


def whom_of(alert: Alert) -> str:
    """For whom it matters; empty where that is not known."""
    if alert.annotations.get("impact"):
        return alert.annotations["impact"]
    return f"callers of {alert.labels['model']}" if alert.labels.get("model") else ""


def alert_document(alert: Alert, link: str = "") -> dict[str, JsonValue]:
    """An alert as Alertmanager's webhooks have it."""
    return {
        "status": "firing" if alert.is_firing else "resolved",
        "labels": dict(alert.labels),
        "annotations": _annotations(alert),
        "startsAt": rfc3339(alert.began.wall_s),
        "endsAt": rfc3339(alert.resolved.wall_s) if alert.resolved is not None else "0001-01-01T00:00:00Z",
        "generatorURL": link,
        "fingerprint": alert.id,
    }


def _annotations(alert: Alert) -> dict[str, JsonValue]:
    """Texts are all that Alertmanager knows, so causes are told as one."""
    causes = "\n".join(each.text for each in alert.causes)
    return {**alert.annotations, **({"causes": causes} if causes else {})}


def suspects(alert: Alert, changes: Sequence[Event]) -> list[Event]:
    """The last changes before an alert of what it is about, the nearest first."""
    near = [each for each in changes if 0 <= alert.began.wall_s - each.time_s <= _SUSPECT_S]
    about = [each for each in near if each.kind != "alert" and _share_subject(alert.labels, each.labels)]
    return sorted(about, key=lambda each: -each.time_s)[:_MAX_CHANGES]


def rfc3339(wall_s: float) -> str:
    """As 2026-11-30T05:40:30.123Z."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _share_subject(labels: Mapping[str, str], others: Mapping[str, str]) -> bool:
    """Whether two things are about the same: an equal label, and none that says otherwise."""
    both = [name for name in _ABOUT if labels.get(name) and others.get(name)]
    return bool(both) and all(labels[name] == others[name] for name in both if name != "version")


def _common(mappings: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    first, *rest = mappings
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in rest)}


def _short_name(alert: Alert) -> str:
    subject = next((alert.labels[name] for name in ("model", "instance", "service") if alert.labels.get(name)), "")
    return f"{alert.name} ({subject})" if subject else alert.name


def _share(text: str) -> str:
    try:
        return f"{float(text):.1%}"
    except ValueError:
        return text


def _moment(stamp: Stamp) -> str:
    return f"{datetime.fromtimestamp(stamp.wall_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _clock_time(wall_s: float) -> str:
    return f"{datetime.fromtimestamp(wall_s, UTC):%H:%M:%S} UTC"


def _duration(seconds: float) -> str:
    minutes, left_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left_s} s" if minutes else f"{left_s} s"
