"""Anomalies in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.detect.anomalies.combination import Combination
from services.health.detect.anomalies.sampling import Subject
from services.health.detect.anomalies.watch import Episode
from services.health.detect.anomalies.watched import Watched
from services.health.metrics.kpis import PROCESS, SUBJECTS

_RUNBOOK = "docs/runbooks.md"
_KINDS = {
    "level": "far from what the last two hours had",
    "drift": "crept away slowly, too slowly for any single value to be odd",
    "shape": "nothing in the last three hours looks like it",
}


def firing_of(what: Watched, subject: Subject, episode: Episode) -> Firing:
    """One number that is out of the ordinary."""
    labels = dict(zip(what.subject, subject, strict=True))
    usual, now = in_unit(episode.usual, what.kpi.unit), in_unit(episode.now, what.kpi.unit)
    compared = f"is {_times(episode)}its usual {usual} since {_clock(episode.since_s)} ({now})"
    summary = f"{_title(what)} of {_named(labels)} {compared}."
    annotations = {
        "summary": summary,
        "description": _KINDS[episode.kind],
        "query": _of_subject(what.kpi.expression, labels),
        "runbook": f"{_RUNBOOK}#{what.alert.lower()}",
    }
    known = {ALERT_NAME: what.alert, SEVERITY: what.severity, "kpi": what.name, **labels}
    return Firing(known, annotations, value=episode.now)


def firing_together(process: Subject, found: Combination) -> Firing:
    """Numbers of a process that do not go together as they did."""
    labels = dict(zip(SUBJECTS[PROCESS], process, strict=True))
    summary = (
        f"The numbers of {_named(labels)} do not go together as usual since {_clock(found.since_s)}: "
        f"{found.blamed} fits the least ({found.blame:.0%} of the difference)."
    )
    known = {ALERT_NAME: "CombinationUnusual", SEVERITY: "info", **labels}
    return Firing(known, {"summary": summary, "runbook": f"{_RUNBOOK}#combinationunusual"}, value=found.share)


def firing_of_rest(count: int) -> Firing:
    """Those for which there is no room in one list."""
    summary = f"{count} more numbers are out of the ordinary: look for one cause of all."
    known = {ALERT_NAME: "ManyAnomalies", SEVERITY: "ticket"}
    return Firing(known, {"summary": summary, "runbook": f"{_RUNBOOK}#manyanomalies"}, value=float(count))


def in_unit(value: float, unit: str) -> str:
    """A number as people write it: 42 ms, 3.1 %, 512 MiB."""
    if unit == "s":
        return f"{value:.2f} s" if value >= 1.0 else f"{value * 1e3:.3g} ms"
    if unit == "ratio":
        return f"{value:.1%}".replace("%", " %")
    if unit == "bytes":
        return f"{value / (1 << 20):,.0f} MiB"
    return f"{value:.3g} {unit}".replace(" 1/s", "/s").rstrip()


def _title(what: Watched) -> str:
    title = {"error_ratio": "the share of errors", "memory": "the memory", "disk": "the disk"}.get(what.name, what.name)
    return title[0].upper() + title[1:] if not title.startswith("p9") else title


def _times(episode: Episode) -> str:
    if episode.usual <= 0.0:
        return "above "
    factor = episode.now / episode.usual
    return f"{factor:.2g} × " if factor < 100.0 else f"{factor:.0f} × "


def _named(labels: Mapping[str, str]) -> str:
    if "model" in labels:
        return f"{labels['model']}@{labels.get('version', '')}"
    return " at ".join(value for value in (labels.get("service", ""), labels.get("instance", "")) if value)


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%H:%M UTC")


def _of_subject(expression: str, labels: Mapping[str, str]) -> str:
    """The chart of one subject: the number joined with a series that has just its labels."""
    matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"({expression}) and on ({','.join(labels)}) ({{{matchers}}})" if labels else expression
