"""The first lines of `lepton top`: is it well, what fires, how much comes in and how much of it fails."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from lepton_ai.cli.monitoring.figures import format_figure
from lepton_ai.cli.output import format_duration_s, style_state
from lepton_ai.v1 import alerts_pb2, health_pb2, metrics_pb2

_SEVERITIES = ("page", "ticket", "info")
_STYLES = {"page": "bold red", "ticket": "yellow"}
_MOST_SHOWN = 3
_PLATFORM = "platform"
"""The judge whose alerts the status has as problems already."""


def headline(
    status: health_pb2.PlatformStatus, kpis: metrics_pb2.ListKpisResponse, alerts: Sequence[alerts_pb2.Alert]
) -> Text:
    """One line: the verdict, alerts by severity, the calls of all models, and when that was."""
    state = health_pb2.Condition.Name(status.condition).removeprefix("CONDITION_").lower()
    parts: list[Text | tuple[str, str] | str] = [
        "The platform is ",
        (state, str(getattr(style_state(state), "style", ""))),
    ]
    parts += [f" · {_counted(len(status.problems), 'problem')} · ", *_alerts(told(alerts))]
    parts += [f" · {calls}" for calls in _calls(kpis)]
    return Text.assemble(*parts, f" · {kpis.time.ToDatetime():%H:%M:%S} UTC")


def told(alerts: Sequence[alerts_pb2.Alert]) -> list[alerts_pb2.Alert]:
    """Those that fire, and that nobody has silenced and no other one explains; the most urgent first."""
    firing = (
        each
        for each in alerts
        if each.state == alerts_pb2.ALERT_STATE_FIRING and not each.silenced_by and not each.inhibited_by
    )
    return sorted(firing, key=_rank)


def urgent(alerts: Sequence[alerts_pb2.Alert], now: datetime) -> list[Text]:
    """The most urgent alerts, a line each, with what shows more of them; what the status says is not said again."""
    shown = [each for each in told(alerts) if each.judge != _PLATFORM and _severity(each) != "info"]
    lines = [_line(each, now) for each in shown[:_MOST_SHOWN]]
    more = len(shown) - _MOST_SHOWN
    return [*lines, Text(f"and {more} more: lepton alerts", style="dim")] if more > 0 else lines


def _alerts(firing: Sequence[alerts_pb2.Alert]) -> Iterator[Text | tuple[str, str] | str]:
    counts = Counter(map(_severity, firing))
    yield _counted(sum(counts.values()), "alert")
    shown = [each for each in _SEVERITIES if counts[each]]
    for index, severity in enumerate(shown):
        words = str(counts[severity]) + " info" if severity == "info" else _counted(counts[severity], severity)
        yield ", " if index else " ("
        yield words, _STYLES.get(severity, "")
    attended = sum(each.HasField("acknowledgement") for each in firing)
    if shown:
        yield f"; {attended} looked after)" if attended else ")"


def _calls(kpis: metrics_pb2.ListKpisResponse) -> Iterator[str]:
    found = [
        {value.kpi: value.value for value in row.values if not value.kind and math.isfinite(value.value)}
        for row in kpis.rows
        if row.scope == metrics_pb2.KPI_SCOPE_MODEL
    ]
    total = math.fsum(each.get("rate", 0.0) for each in found)
    if total:
        failed = math.fsum(each.get("rate", 0.0) * each.get("error_ratio", 0.0) for each in found)
        yield f"{format_figure(total, '1/s')}, {format_figure(failed / total, 'ratio')} fail"


def _line(alert: alerts_pb2.Alert, now: datetime) -> Text:
    severity = _severity(alert)
    since_s = max(0.0, now.timestamp() - alert.began_at.ToMilliseconds() / 1000)
    said = alert.annotations.get("summary") or alert.labels.get("alertname", "")
    who = f" · {alert.acknowledgement.who} looks after it" if alert.HasField("acknowledgement") else ""
    end = f" · {format_duration_s(since_s)}{who} · lepton alerts show {alert.fingerprint[:8]}"
    return Text.assemble("▲ ", (severity, _STYLES.get(severity, "")), f" {said}", (end, "dim"))


def _severity(alert: alerts_pb2.Alert) -> str:
    return alert.labels.get("severity", "")


def _rank(alert: alerts_pb2.Alert) -> int:
    severity = _severity(alert)
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
