"""Judges log records: templates that are new, and templates whose records come in bursts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lepton_ai.v1 import events_pb2 as pb
from services.health.alerts.causes.evidence import LoggedKind
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.events.database import BEGAN_S, EventsDatabase, recall
from services.health.events.logs.bursts import FEWEST, MINUTE_S, usual_limit
from services.health.events.logs.log_book import BUCKET_S, COUNTED_S

NEW_FOR_S = 600.0
"""How long a template counts as new; and how long after the first record of all none does."""
_MOST_FIRINGS = 50
"""At once: where everything is new, the most frequent of it is enough."""
_BUCKETS_A_MINUTE = MINUTE_S // BUCKET_S


@dataclass(frozen=True)
class TemplateCounts:
    """A template that was met lately."""

    number: int
    service: str
    level: int
    logger: str
    text: str
    first_s: float
    last_s: float
    trace_id: str
    counts: Mapping[int, int]
    """Bucket of BUCKET_S → records."""


class LogJudge:
    """Finds `NewErrorTemplate` (a ticket; of a warning only information) and `LogBurst` (a ticket)."""

    name = "logs"

    def __init__(self, database: EventsDatabase) -> None:
        self._database = database
        self._bursts: dict[int, tuple[float, Firing]] = {}
        """Template → when its records came in a burst last, and what was said then."""

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All that is new or too frequent at `now_s`. Raises Unavailable."""
        began_s, found = await self._database.read(partial(_met_since, since_s=now_s - NEW_FOR_S))
        firings: list[Firing] = []
        for each in found:
            if now_s - NEW_FOR_S < each.first_s <= now_s and each.first_s > began_s + NEW_FOR_S:
                firings.append(_new(each))
            firings += self._burst_of(each, began_s, now_s)
        self._bursts = {each: known for each, known in self._bursts.items() if _is_recent(known[0], now_s)}
        firings.sort(key=lambda firing: -firing.value)
        return firings[:_MOST_FIRINGS]

    async def met_since(self, since_s: float) -> list[LoggedKind]:
        """Kinds of records that came since then, with how many did. Raises Unavailable."""
        _, found = await self._database.read(partial(_met_since, since_s=since_s))
        bucket = int(since_s // BUCKET_S)
        return [
            LoggedKind(
                number=each.number,
                service=each.service,
                is_error=each.level >= pb.LOG_LEVEL_ERROR,
                text=each.text,
                first_s=each.first_s,
                last_s=each.last_s,
                count=sum(count for place, count in each.counts.items() if place >= bucket),
            )
            for each in found
        ]

    def _burst_of(self, template: TemplateCounts, began_s: float, now_s: float) -> Iterator[Firing]:
        """A burst, for a minute after the last look that found it: at the limit it would end with every breath."""
        count = _last_minute(template, now_s)
        if count >= FEWEST:
            history = _minutes_before(template, began_s, now_s)
            if count > usual_limit(history):
                self._bursts[template.number] = now_s, _burst(template, count, history)
        if template.number in self._bursts:
            seen_s, firing = self._bursts[template.number]
            if _is_recent(seen_s, now_s):
                yield firing


def _is_recent(seen_s: float, now_s: float) -> bool:
    return 0 <= now_s - seen_s < MINUTE_S


def _last_minute(template: TemplateCounts, now_s: float) -> int:
    bucket = int(now_s // BUCKET_S)
    return sum(template.counts.get(each, 0) for each in range(bucket - _BUCKETS_A_MINUTE + 1, bucket + 1))


def _minutes_before(template: TemplateCounts, began_s: float, now_s: float) -> list[int]:
    """Records in each of the whole minutes before the last one in which health has counted, the newest last."""
    bucket = int(now_s // BUCKET_S)
    minutes = int(min(COUNTED_S, max(0.0, now_s - began_s)) // MINUTE_S) - 1
    history = [0] * max(0, minutes)
    for each, records in template.counts.items():
        age = (bucket - each) // _BUCKETS_A_MINUTE
        if 1 <= age <= len(history):
            history[-age] += records
    return history


def _new(template: TemplateCounts) -> Firing:
    is_error = template.level >= pb.LOG_LEVEL_ERROR
    what = "an error" if is_error else "a warning"
    return Firing(
        labels=_labels("NewErrorTemplate", "ticket" if is_error else "info", template),
        annotations={
            "summary": f"{template.service} logs {what} that is new: {template.text}",
            **_evidence("NewErrorTemplate", template),
        },
        value=float(sum(template.counts.values())),
    )


def _burst(template: TemplateCounts, count: int, history: Sequence[int]) -> Firing:
    usual = sum(history) / max(1, len(history))
    return Firing(
        labels=_labels("LogBurst", "ticket", template),
        annotations={
            "summary": f"{template.service} logs {count} times a minute, in place of {usual:.2g}: {template.text}",
            **_evidence("LogBurst", template),
        },
        value=float(count),
    )


def _labels(name: str, severity: str, template: TemplateCounts) -> dict[str, str]:
    return {ALERT_NAME: name, SEVERITY: severity, "service": template.service, "template": str(template.number)}


def _evidence(name: str, template: TemplateCounts) -> dict[str, str]:
    told = {
        "description": f"Logger {template.logger}; see `lepton logs --template {template.number}`.",
        "runbook": f"docs/runbooks.md#{name.lower()}",
    }
    return told | ({"trace_id": template.trace_id} if template.trace_id else {})


def _met_since(connection: sqlite3.Connection, *, since_s: float) -> tuple[float, list[TemplateCounts]]:
    began_s = float(recall(connection, BEGAN_S) or 0.0)
    rows = connection.execute(
        "SELECT id, service, level, logger, text, first_s, last_s, example FROM templates WHERE last_s >= ?", (since_s,)
    ).fetchall()
    found = []
    for number, service, level, logger, text, first_s, last_s, example in rows:
        counts = dict(connection.execute("SELECT bucket, count FROM counts WHERE template = ?", (number,)))
        trace_id = pb.LogRecord.FromString(example).trace_id
        found.append(TemplateCounts(number, service, level, logger, text, first_s, last_s, trace_id, counts))
    return began_s, found
