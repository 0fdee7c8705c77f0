"""The book of log records: what every process reported, grouped by template, within bounds, over restarts."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp

from lepton_ai.v1 import events_pb2 as pb
from services.health.events.database import EventsDatabase
from services.health.events.logs.drain import Drain

BUCKET_S = 10
"""Records of a template are counted by this length of time, for as long as COUNTED_S."""
COUNTED_S = 86_400
_MOST_OF_A_TEMPLATE = 1000
"""Records that are kept of one template, so that a storm of one sort does not drive out all others."""
_FORGET_REPORTERS_S = 7 * 86_400.0
_RECORD_COLUMNS = "time_s, level, service, instance, logger, message, fields, exception, trace_id, template"


class LogBook:
    """Everything is done in the database's thread, the grouping included."""

    def __init__(
        self,
        database: EventsDatabase,
        *,
        max_records: int,
        max_templates: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`max_records`, `max_templates`: the oldest records, and templates not met for longest, go when there are
        more."""
        self._database = database
        self._max_records = max_records
        self._clock = clock
        self._drain = Drain(max_groups=max_templates)

    async def start(self) -> None:
        """Know the templates again that were met before."""
        for number, scope, text in await self._database.read(_known_templates):
            self._drain.restore(number, scope, text)

    async def take(self, report: pb.ReportLogsRequest) -> None:
        """Keep what a process reports; what it has reported already is left alone. Raises Unavailable."""
        await self._database.write(partial(self._take, report=report))

    async def templates(
        self, *, service: str = "", level: int = 0, since_s: float = 0.0, limit: int
    ) -> list[pb.LogTemplate]:
        """Those of a service, of this level and above, seen since then; those with most records first."""
        query = (
            "SELECT id, service, level, logger, text, count, first_s, last_s, example FROM templates "
            "WHERE (?1 = '' OR service = ?1) AND level >= ?2 AND last_s >= ?3 ORDER BY count DESC, id LIMIT ?4"
        )
        return await self._database.read(
            lambda connection: [_template(row) for row in connection.execute(query, (service, level, since_s, limit))]
        )

    async def records(self, wanted: pb.ListLogsRequest, *, limit: int) -> list[pb.LogRecord]:
        """Records, the newest first."""
        conditions: dict[str, object] = {
            "service = ?": wanted.service,
            "instance = ?": wanted.instance,
            "level >= ?": wanted.level,
            "template = ?": wanted.template_id,
            "trace_id != '' AND trace_id = ?": wanted.trace_id,  # so that SQLite uses the index of those with a trace
            "time_s >= ?": seconds_of(wanted.since),
            "instr(message, ?)": wanted.text,
        }
        chosen = {condition: value for condition, value in conditions.items() if value}
        where = " AND ".join(chosen) or "TRUE"
        query = f"SELECT {_RECORD_COLUMNS} FROM records WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - no values
        return await self._database.read(
            lambda connection: [_record(row) for row in connection.execute(query, (*chosen.values(), limit))]
        )

    def _take(self, connection: sqlite3.Connection, *, report: pb.ReportLogsRequest) -> None:
        now_s = self._clock()
        last = report.first + len(report.records) - 1
        new = report.records[max(0, _taken(connection, report.process) + 1 - report.first) :]
        connection.execute(
            "INSERT INTO reporters VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET taken = MAX(taken, ?2), seen_s = ?3",
            (report.process, last, now_s),
        )
        counted: Counter[tuple[int, int]] = Counter()
        for record in new:
            record.service, record.instance = report.service, report.instance
            # A clock that is ahead must not put its records where nobody looks yet.
            time_s = min(seconds_of(record.at), now_s)
            template = self._group(connection, record, time_s)
            counted[template, int(time_s // BUCKET_S)] += 1
            _insert_record(connection, record, time_s, template)
        self._keep_bounds(connection, counted, now_s)

    def _group(self, connection: sqlite3.Connection, record: pb.LogRecord, time_s: float) -> int:
        group = self._drain.add(record.message, scope=_scope(record))
        record.template_id = group.number
        # The newest example with a trace, else the first one.
        connection.execute(
            "INSERT INTO templates VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8) ON CONFLICT (id) DO UPDATE SET "
            "text = ?6, count = count + 1, first_s = MIN(first_s, ?7), last_s = MAX(last_s, ?7), "
            "example = CASE WHEN ?9 THEN ?8 ELSE example END",
            (
                *(group.number, group.scope, record.service, record.level, record.logger, group.template, time_s),
                *(record.SerializeToString(), bool(record.trace_id)),
            ),
        )
        return group.number

    def _keep_bounds(self, connection: sqlite3.Connection, counted: Counter[tuple[int, int]], now_s: float) -> None:
        connection.executemany(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(template, bucket, count) for (template, bucket), count in counted.items()],
        )
        for template in {template for template, _ in counted}:
            connection.execute(
                "DELETE FROM records WHERE template = ?1 AND seq <= (SELECT seq FROM records WHERE template = ?1 "
                "ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                (template, _MOST_OF_A_TEMPLATE),
            )
            oldest = int((now_s - COUNTED_S) // BUCKET_S)
            connection.execute("DELETE FROM counts WHERE template = ? AND bucket < ?", (template, oldest))
        connection.execute("DELETE FROM records WHERE seq <= (SELECT MAX(seq) FROM records) - ?", (self._max_records,))
        connection.execute("DELETE FROM reporters WHERE seen_s < ?", (now_s - _FORGET_REPORTERS_S,))
        for number in self._drain.take_forgotten():
            connection.execute("DELETE FROM templates WHERE id = ?", (number,))
            connection.execute("DELETE FROM counts WHERE template = ?", (number,))


def seconds_of(moment: Timestamp) -> float:
    """Seconds since 1970; 0 where it is not set."""
    return moment.seconds + moment.nanos / 1e9


def _level(value: object) -> pb.LogLevel.ValueType:
    return cast("pb.LogLevel.ValueType", int(str(value)))


def _known_templates(connection: sqlite3.Connection) -> list[tuple[int, str, str]]:
    return list(connection.execute("SELECT id, scope, text FROM templates ORDER BY last_s"))


def _taken(connection: sqlite3.Connection, process: str) -> int:
    row = connection.execute("SELECT taken FROM reporters WHERE process = ?", (process,)).fetchone()
    return 0 if row is None else int(row[0])


def _scope(record: pb.LogRecord) -> str:
    """Only records of one service, level, logger and kind of exception are alike."""
    last_line = record.exception.rstrip().rpartition("\n")[2]
    kind = last_line.partition(":")[0] if record.exception else ""
    return json.dumps([record.service, record.level, record.logger, kind[:100]])


def _insert_record(connection: sqlite3.Connection, record: pb.LogRecord, time_s: float, template: int) -> None:
    fields = json.dumps(dict(record.fields))
    connection.execute(
        f"INSERT INTO records ({_RECORD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - no values in it
        (
            *(time_s, record.level, record.service, record.instance, record.logger, record.message),
            *(fields, record.exception, record.trace_id, template),
        ),
    )


def _record(row: Sequence[object]) -> pb.LogRecord:
    time_s, level, service, instance, logger, message, fields, exception, trace_id, template = map(str, row)
    record = pb.LogRecord(
        level=_level(level),
        service=service,
        instance=instance,
        logger=logger,
        message=message,
        fields=json.loads(fields),
        exception=exception,
        trace_id=trace_id,
        template_id=int(template),
    )
    record.at.FromNanoseconds(round(float(time_s) * 1e9))
    return record


def _template(row: Sequence[object]) -> pb.LogTemplate:
    number, service, level, logger, text, count, first_s, last_s, example = row
    template = pb.LogTemplate(
        id=int(str(number)),
        service=str(service),
        level=_level(level),
        logger=str(logger),
        text=str(text),
        count=int(str(count)),
    )
    if isinstance(example, bytes):
        template.example.ParseFromString(example)
    template.first_seen.FromNanoseconds(round(float(str(first_s)) * 1e9))
    template.last_seen.FromNanoseconds(round(float(str(last_s)) * 1e9))
    return template
