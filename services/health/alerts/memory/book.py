"""The book of alerts: a SQLite file with every record, and what happened to each alert, durably."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE records (kind TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (kind, id))
  WITHOUT ROWID;
CREATE TABLE history (seq INTEGER PRIMARY KEY, alert TEXT NOT NULL, at_s REAL NOT NULL, what TEXT NOT NULL,
  detail TEXT NOT NULL);
CREATE INDEX history_by_alert ON history (alert, seq);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_MAX_HISTORY = 20_000


@dataclass(frozen=True)
class Happening:
    """Something that happened to an alert."""

    alert: str
    """Fingerprint."""
    at_s: float
    what: str
    """`pending`, `firing`, `resolved`, `acknowledged`, `delivered`, `failed`…"""
    detail: str = ""
    seq: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Page:
    """What is written in one go: all of it, or nothing."""

    put: Sequence[tuple[str, str, str]] = ()
    """Kind, id, document."""
    drop: Sequence[tuple[str, str]] = ()
    """Kind, id."""
    history: Sequence[Happening] = ()


class AlertBook:
    """Use it from one thread. What `write` has returned for is on the disk."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises FailedPrecondition for one of a later release."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with self._writing():
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        elif version != _SCHEMA_VERSION:
            self._connection.close()
            raise FailedPrecondition(
                f"The alerts have schema {version}, this release knows {_SCHEMA_VERSION}.",
                fix="Run the release that wrote them, or a later one.",
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def read(self) -> list[tuple[str, str, str]]:
        """Kind, id and document of every record."""
        return list(self._connection.execute("SELECT kind, id, document FROM records"))

    def write(self, page: Page) -> None:
        """Write a page. Raises sqlite3.Error, for instance for a full disk, and then nothing was written."""
        with self._writing():
            self._connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", page.put)
            self._connection.executemany("DELETE FROM records WHERE kind = ? AND id = ?", page.drop)
            self._connection.executemany(
                "INSERT INTO history (alert, at_s, what, detail) VALUES (?, ?, ?, ?)",
                ((each.alert, each.at_s, each.what, each.detail) for each in page.history),
            )
            if page.history:
                self._connection.execute(
                    "DELETE FROM history WHERE seq <= (SELECT MAX(seq) FROM history) - ?", (_MAX_HISTORY,)
                )

    def history(self, alert: str, *, limit: int) -> list[Happening]:
        """What happened to an alert, or to all of them for "", the newest first."""
        query = (
            "SELECT alert, at_s, what, detail, seq FROM history WHERE ?1 = '' OR alert = ?1 ORDER BY seq DESC LIMIT ?2"
        )
        return [Happening(*row) for row in self._connection.execute(query, (alert, limit))]

    def note(self, name: str, value: str) -> None:
        """Keep a value under a name."""
        self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str | None:
        """The value that is kept under a name."""
        row = self._connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
                self._connection.execute("ROLLBACK")
            raise
