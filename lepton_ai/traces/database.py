"""The SQLite file of the trace store: opened for readers and the writer, and replaced when it cannot be used."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

_logger = logging.getLogger(__name__)

_APPLICATION_ID = 0x4C505452
"""Marks a SQLite file as one of ours ("LPTR")."""
_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE exports (
  id INTEGER PRIMARY KEY, encoding INTEGER NOT NULL, traces BLOB NOT NULL, body BLOB NOT NULL
);
CREATE TABLE extents (
  export_id INTEGER NOT NULL, service TEXT NOT NULL, operations TEXT NOT NULL,
  earliest_us INTEGER NOT NULL, latest_us INTEGER NOT NULL,
  shortest_us INTEGER NOT NULL, longest_us INTEGER NOT NULL,
  PRIMARY KEY (export_id, service)
) WITHOUT ROWID;
CREATE INDEX extents_by_service ON extents (service, latest_us);
CREATE TABLE floor (
  only INTEGER PRIMARY KEY CHECK (only = 0), export_id INTEGER NOT NULL, place INTEGER NOT NULL
);
INSERT INTO floor VALUES (0, 0, 0);
"""
_PAGE_BYTES = 8192
"""An export of 500 spans fills many pages, one of Triton's part of one: both were cheapest with this."""
_BUSY_TIMEOUT_S = 5.0


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for one thread at a time; WAL, so that readers and the writer do not wait for one another."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # matters only for a new file
    connection.execute("PRAGMA journal_mode = WAL")
    # Not FULL: a power cut may lose the last traces, a killed process loses nothing that was acknowledged.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
    return connection


def open_database(path: Path) -> sqlite3.Connection:
    """Open or make the database; one made by another version, or broken, is set aside and replaced by an empty one.

    Raises FailedPrecondition when the file is somebody else's database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
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
        for table in ("exports", "extents", "floor"):  # reads it all, and so finds a torn file
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - the names are above
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
