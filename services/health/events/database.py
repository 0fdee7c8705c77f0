"""The file of events and log records: SQLite, used from one thread, on the disk when a write has returned."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from lepton_ai.errors import FailedPrecondition, Unavailable

BEGAN_S = "began_s"
"""What is remembered under this name: when the file was made."""
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, time_s REAL NOT NULL,
  kind TEXT NOT NULL, title TEXT NOT NULL, labels TEXT NOT NULL, actor TEXT NOT NULL, details TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (time_s);
CREATE UNIQUE INDEX events_by_revision ON events (revision);
CREATE TABLE memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE templates (
  id INTEGER PRIMARY KEY, scope TEXT NOT NULL, service TEXT NOT NULL, level INTEGER NOT NULL, logger TEXT NOT NULL,
  text TEXT NOT NULL, count INTEGER NOT NULL, first_s REAL NOT NULL, last_s REAL NOT NULL, example BLOB NOT NULL
);
CREATE TABLE records (
  seq INTEGER PRIMARY KEY, time_s REAL NOT NULL, level INTEGER NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL,
  logger TEXT NOT NULL, message TEXT NOT NULL, fields TEXT NOT NULL, exception TEXT NOT NULL, trace_id TEXT NOT NULL,
  template INTEGER NOT NULL
);
CREATE INDEX records_by_template ON records (template, seq);
CREATE INDEX records_by_trace ON records (trace_id) WHERE trace_id != '';
CREATE TABLE counts (template INTEGER NOT NULL, bucket INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (template, bucket)) WITHOUT ROWID;
CREATE TABLE reporters (process TEXT PRIMARY KEY, taken INTEGER NOT NULL, seen_s REAL NOT NULL) WITHOUT ROWID;
"""
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class EventsDatabase:
    """What a write has returned for survives the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises FailedPrecondition for one of a later release."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")  # the end of the machine may take the last second
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._write(_create)
        elif version != _SCHEMA_VERSION:
            self._connection.close()
            raise FailedPrecondition(
                f"The events have schema {version}, this release knows {_SCHEMA_VERSION}.",
                fix="Run the release that wrote it, or a later one.",
            )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")

    async def close(self) -> None:
        """Finish what has begun, and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def read(self, work: Work[T]) -> T:
        """Run `work` in the file's thread. Raises Unavailable when the file cannot be read."""
        return await self._run(partial(work, self._connection))

    async def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction. Raises Unavailable when it cannot be written, and then nothing is."""
        return await self._run(partial(self._write, work))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise Unavailable(
                f"The file of events cannot be used: {error}.",
                reason="EVENTS_UNAVAILABLE",
                fix="See that the disk of LEPTON_DATA_DIR has room and works.",
            ) from error

    def _write(self, work: Work[T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
                self._connection.execute("ROLLBACK")
            raise
        return result


def _create(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)
    remember(connection, BEGAN_S, str(time.time()))
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def recall(connection: sqlite3.Connection, name: str) -> str | None:
    """What was remembered under a name."""
    row = connection.execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def remember(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a value under a name, in place of the one before."""
    connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, value))
