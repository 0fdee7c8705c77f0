"""Spans in SQLite: written in batches by one writer, bounded by dropping whole old traces, read by several threads."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.traces.spans import SpanRow

_logger = logging.getLogger(__name__)

_APPLICATION_ID = 0x4C505452
"""Marks a SQLite file as one of ours ("LPTR")."""
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE sources (id INTEGER PRIMARY KEY, source BLOB NOT NULL UNIQUE);
CREATE TABLE spans (
  trace_id BLOB NOT NULL, span_id BLOB NOT NULL, parent_id BLOB NOT NULL,
  service TEXT NOT NULL, operation TEXT NOT NULL, start_us INTEGER NOT NULL, duration_us INTEGER NOT NULL,
  error INTEGER NOT NULL, source_id INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID;
CREATE INDEX spans_by_service ON spans (service, start_us, operation, duration_us, source_id);
CREATE TABLE traces (
  trace_id BLOB PRIMARY KEY, arrival INTEGER NOT NULL, spans INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX traces_by_arrival ON traces (arrival);
"""
_BUSY_TIMEOUT_S = 5.0
_EVICTION_STEP = 64
_MIN_SOURCES_TO_SWEEP = 1000


@dataclass(frozen=True)
class Written:
    """What a write did: new spans, spans that were there already, spans refused because their trace is full."""

    stored: int
    duplicates: int
    over_limit: int


@dataclass(frozen=True)
class StoredSpan:
    """A span as it was received: its own message, and the resource and scope it came with."""

    source: bytes
    body: bytes


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for one thread at a time; WAL, so that readers and the writer do not wait for one another."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # Not FULL: a power cut may lose the last traces, a killed process loses nothing that was acknowledged.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
    return connection


class TraceStore:
    """The write side of the database; use it from one thread. Survives being killed at any point."""

    def __init__(self, path: Path, *, max_spans: int, max_stored_bytes: int, max_trace_spans: int) -> None:
        """Open or make the database at `path`; one made by another version, or broken, is replaced by an empty one."""
        self._max_spans = max_spans
        self._max_bytes = max_stored_bytes
        self._max_trace_spans = min(max_trace_spans, max_spans)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _open(path)
        row = self._connection.execute("SELECT total(spans), total(bytes), coalesce(max(arrival), 0) FROM traces")
        spans, size_bytes, self._arrival = row.fetchone()
        self._spans, self._bytes = int(spans), int(size_bytes)
        self._source_ids: dict[bytes, int] = {
            source: key for key, source in self._connection.execute("SELECT id, source FROM sources")
        }
        self._sweep_at = max(_MIN_SOURCES_TO_SWEEP, 2 * len(self._source_ids))

    @property
    def spans(self) -> int:
        """How many spans are stored."""
        return self._spans

    def write(self, rows: Sequence[SpanRow]) -> Written:
        """Store the rows of one export; see `write_all`."""
        return self.write_all([rows])[0]

    def write_all(self, exports: Sequence[Sequence[SpanRow]]) -> list[Written]:
        """Store the rows of several exports in one transaction and drop the oldest traces beyond the bound.

        A span that is there already (a re-delivery) is left as it is. Raises sqlite3.Error with nothing changed.
        """
        before = (self._spans, self._bytes, self._arrival)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            written = [self._insert(rows) for rows in exports]
            self._evict()
            self._connection.execute("COMMIT")
        except BaseException:
            self._spans, self._bytes, self._arrival = before
            self._source_ids.clear()  # ids given out in this transaction are gone with it
            self._connection.execute("ROLLBACK")
            raise
        return written

    def close(self) -> None:
        """Close the database; the store cannot be used afterwards."""
        self._connection.close()

    def _insert(self, rows: Sequence[SpanRow]) -> Written:
        stored = duplicates = over_limit = 0
        for trace_id, group in groupby(sorted(rows, key=_by_trace), key=_by_trace):
            room = self._max_trace_spans - self._span_count(trace_id)
            fresh: list[SpanRow] = []
            for row in group:
                if len(fresh) < room:
                    is_new = self._insert_span(row)
                    fresh.extend([row] if is_new else [])
                    duplicates += not is_new
                else:
                    is_known = self._has_span(row)
                    duplicates += is_known
                    over_limit += not is_known
            if fresh:
                self._touch_trace(trace_id, fresh)
            stored += len(fresh)
        return Written(stored, duplicates, over_limit)

    def _span_count(self, trace_id: bytes) -> int:
        row = self._connection.execute("SELECT spans FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
        return int(row[0]) if row else 0

    def _has_span(self, row: SpanRow) -> bool:
        key = (row.trace_id, row.span_id)
        found = self._connection.execute("SELECT 1 FROM spans WHERE trace_id = ? AND span_id = ?", key)
        return found.fetchone() is not None

    def _insert_span(self, row: SpanRow) -> bool:
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.trace_id,
                row.span_id,
                row.parent_id,
                row.service,
                row.operation,
                row.start_us,
                row.duration_us,
                row.error,
                self._source_id(row.source),
                row.body,
            ),
        )
        return cursor.rowcount == 1

    def _touch_trace(self, trace_id: bytes, fresh: Sequence[SpanRow]) -> None:
        size_bytes = sum(row.size_bytes for row in fresh)
        self._arrival += 1
        self._spans += len(fresh)
        self._bytes += size_bytes
        self._connection.execute(
            "INSERT INTO traces VALUES (?, ?, ?, ?) ON CONFLICT (trace_id) DO UPDATE SET"
            " arrival = excluded.arrival, spans = spans + excluded.spans, bytes = bytes + excluded.bytes",
            (trace_id, self._arrival, len(fresh), size_bytes),
        )

    def _source_id(self, source: bytes) -> int:
        known = self._source_ids.get(source)
        if known is None:
            self._connection.execute("INSERT OR IGNORE INTO sources (source) VALUES (?)", (source,))
            row = self._connection.execute("SELECT id FROM sources WHERE source = ?", (source,)).fetchone()
            known = self._source_ids[source] = int(row[0])
        return known

    def _evict(self) -> None:
        while self._spans > self._max_spans or self._bytes > self._max_bytes:
            oldest = self._connection.execute(
                "SELECT trace_id, spans, bytes FROM traces ORDER BY arrival LIMIT ?", (_EVICTION_STEP,)
            ).fetchall()
            for trace_id, spans, size_bytes in oldest:
                if self._spans <= self._max_spans and self._bytes <= self._max_bytes:
                    break
                self._connection.execute("DELETE FROM spans WHERE trace_id = ?", (trace_id,))
                self._connection.execute("DELETE FROM traces WHERE trace_id = ?", (trace_id,))
                self._spans -= spans
                self._bytes -= size_bytes
        if len(self._source_ids) > self._sweep_at:
            self._sweep_sources()

    def _sweep_sources(self) -> None:
        """Forget resources that no span refers to any more: every restart of a service brings a new one."""
        self._connection.execute("DELETE FROM sources WHERE id NOT IN (SELECT source_id FROM spans)")
        kept = self._connection.execute("SELECT id, source FROM sources").fetchall()
        self._source_ids = {source: key for key, source in kept}
        self._sweep_at = max(_MIN_SOURCES_TO_SWEEP, 2 * len(self._source_ids))


class TraceReader:
    """The read side; safe to use from several threads, one query at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.execute("PRAGMA query_only = ON")
        self._lock = threading.Lock()

    def query(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[object, ...]]:
        """All rows of one SELECT."""
        with self._lock, closing(self._connection.execute(sql, tuple(parameters))) as cursor:
            return cursor.fetchall()

    def trace(self, trace_id: bytes) -> list[StoredSpan]:
        """The spans of one trace by start time; empty when it is not here (any more)."""
        rows = self.query(
            "SELECT source, body FROM spans JOIN sources ON sources.id = source_id"
            " WHERE trace_id = ? ORDER BY start_us, span_id",
            (trace_id,),
        )
        return [StoredSpan(_blob(source), _blob(body)) for source, body in rows]

    def close(self) -> None:
        """Close the database; waits for a query that is under way."""
        with self._lock:
            self._connection.close()


def _by_trace(row: SpanRow) -> bytes:
    return row.trace_id


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a blob column holds something else")
    return value


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked, read-only, full: not the file's fault
        _logger.warning("the trace database is broken (%s); starting with an empty one", error)
        _set_aside(path)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    """A connection to a database of this version; traces of another version are not worth a migration."""
    connection = connect(path)
    try:
        version = _version(connection)
        if version not in (0, _SCHEMA_VERSION):
            _logger.warning("the trace database is of version %d; starting with an empty one", version)
            connection.close()
            _set_aside(path)
            connection, version = connect(path), 0
        if version == 0:
            marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_SCHEMA_VERSION};"
            connection.executescript(f"BEGIN; {_SCHEMA} {marks} COMMIT;")
        connection.execute("SELECT count(*) FROM traces").fetchone()  # reads it all, and so finds a torn file
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    """The schema version of the file, 0 for an empty one; raises FailedPrecondition for somebody else's database."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        return 0
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION_ID:
        raise FailedPrecondition(
            "LEPTON_TRACES_DB names a database that is not a trace store.", fix="Give the path of a new file."
        )
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _set_aside(path: Path) -> None:
    """Keep what cannot be used as NAME.unusable (the last one), in case somebody wants to look into it."""
    path.replace(path.with_name(path.name + ".unusable"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
