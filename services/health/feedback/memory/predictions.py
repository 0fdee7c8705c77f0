"""What was predicted, remembered compactly for as long as there is room: a SQLite file for every ten minutes."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.prediction_ids import PredictionId
from lepton_ai.v1 import feedback_pb2
from services.health.feedback.memory.users import UserDirectory

_SPAN_S = 600
_MOST_OPEN = 16
"""Files that are open at once."""
_FORGOTTEN_S = 86_400.0
"""How long after a user was forgotten a replica may still tell of what he sent before; it is far less."""
_ID_BYTES, _USER_BYTES = 16, 8
NO_USER = bytes(_USER_BYTES)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL,
  UNIQUE (model, version));
CREATE TABLE IF NOT EXISTS labels (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS predictions (key BLOB PRIMARY KEY, version INTEGER NOT NULL, label INTEGER,
  value REAL NOT NULL, duration_us INTEGER NOT NULL, user BLOB, variant TEXT) WITHOUT ROWID;
"""
"""Keys sort by time, so that new ones are added at the end of the tree."""
_ROW = "INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Prediction:
    """What is remembered of one."""

    model: str
    version: int
    predicted: str
    """The label; empty for a number."""
    score: float
    """The score of the label, or the number."""
    duration_us: int
    variant: str = ""
    """Of the version; empty: the version itself."""


class PredictionMemory:
    """Remembers; use it from one thread. Survives kill -9; a power cut may cost the last seconds."""

    def __init__(self, directory: Path, *, max_bytes: int, keep_s: float) -> None:
        """Forgets what is older than `keep_s`, and the oldest where files take more than `max_bytes`."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._open: OrderedDict[int, sqlite3.Connection] = OrderedDict()
        directory.mkdir(parents=True, exist_ok=True)
        self._spans = {int(path.stem) for path in directory.glob("*.sqlite") if path.stem.isdecimal()}
        self._users = UserDirectory(directory / "users.sqlite")
        self._due = dict.fromkeys(span for user in self._users.forgotten for span, _ in self._users.find(user))
        """Files in which somebody is to be forgotten, in order."""

    def add(self, batch: feedback_pb2.RememberedPredictions) -> int:
        """Remember predictions of a version; returns how many. Raises InvalidInput for columns that do not fit."""
        count = _checked_count(batch)
        spans: dict[int, list[int]] = {}
        for row in range(count):
            made_s = int.from_bytes(batch.ids[_ID_BYTES * row : _ID_BYTES * row + 6], "big") // 1000
            spans.setdefault(made_s // _SPAN_S, []).append(row)
        for span, rows in spans.items():
            self._users.drop(span)
            self._spans.add(span)
            self._add(self._connection(span), batch, rows)
        return count

    def find(self, wanted: PredictionId) -> Prediction | None:
        """What is remembered of a prediction."""
        span = int(wanted.made_at) // _SPAN_S
        if span not in self._open and not self._path(span).exists():
            return None
        query = (
            "SELECT model, versions.version, name, value, duration_us, variant, user FROM predictions "
            "JOIN versions ON versions.id = predictions.version LEFT JOIN labels ON labels.id = label WHERE key = ?"
        )
        row = self._connection(span).execute(query, (wanted.key,)).fetchone()
        if row is None or _is_forgotten(wanted.key, row[6], self._users.forgotten):
            return None
        return Prediction(row[0], row[1], row[2] or "", row[3], row[4], row[5] or "")

    def knows_answer(self, wanted: PredictionId) -> bool:
        """Whether any prediction of the same answer is remembered: then those that are not never were."""
        span = int(wanted.made_at) // _SPAN_S
        if span not in self._open and not self._path(span).exists():
            return False
        query = "SELECT key, user FROM predictions WHERE key BETWEEN ? AND ?"
        rows = self._connection(span).execute(query, (wanted.base + b"\0\0", wanted.base + b"\xff\xff"))
        return any(not _is_forgotten(key, user, self._users.forgotten) for key, user in rows)

    def forget_user(self, user: bytes, now: float) -> int:
        """Forget what was predicted for a user until now; returns how much.

        It is not found from this moment on, over kills and when replicas tell of it late; `tidy` deletes it.
        """
        before = self._users.forgotten.get(user, 0.0)
        self._users.forget(user, now)
        found = dict(self._users.find(user))
        for span in self._spans - self._users.listed:
            with closing(sqlite3.connect(self._path(span), isolation_level=None)) as connection:
                query = "SELECT COUNT(*) FROM predictions WHERE user = ?"
                (found[span],) = connection.execute(query, (user,)).fetchone()
        self._due |= dict.fromkeys(sorted(span for span, count in found.items() if count))
        return sum(count for span, count in found.items() if (span + 1) * _SPAN_S > before)

    def tidy(self, now: float) -> bool:
        """Delete from one file what is forgotten, and write down for whom it is; whether there is more to do."""
        if not self._due:
            unlisted = self._spans - self._users.listed
            self._due = dict.fromkeys(sorted(span for span in unlisted if _is_over(span, now)))
        if not self._due:
            return False
        span = next(iter(self._due))
        del self._due[span]
        if span in self._spans:
            self._tidy(span, now)
        return bool(self._due)

    def forget_old(self, now: float) -> int:
        """Delete files that are too old or for which there is no room; returns how many."""
        if not self._due:
            self._users.release([user for user, at in self._users.forgotten.items() if at < now - _FORGOTTEN_S])
        spans = sorted(self._spans)
        sizes = {span: sum(path.stat().st_size for path in self._files(span)) for span in spans}
        total, gone = self.size_bytes, 0
        for span in spans[:-1]:  # the newest is being written
            if (span + 1) * _SPAN_S >= now - self._keep_s and total <= self._max_bytes:
                break
            connection = self._open.pop(span, None)
            if connection is not None:
                connection.close()
            for path in self._files(span):
                path.unlink(missing_ok=True)
            self._users.drop(span)
            self._spans.remove(span)
            total -= sizes[span]
            gone += 1
        return gone

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self._directory.glob("*.sqlite*"))

    def close(self) -> None:
        """Close all files."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()
        self._users.close()

    def _add(
        self, connection: sqlite3.Connection, batch: feedback_pb2.RememberedPredictions, rows: Sequence[int]
    ) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version_id(connection, batch.model, batch.version)
            labels = _label_ids(connection, batch.names)
            known = _values(batch, rows, version, labels)
            if self._users.forgotten:
                known = (row for row in known if not _is_forgotten(row[0], row[5], self._users.forgotten))
            connection.executemany(_ROW, known)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _tidy(self, span: int, now: float) -> None:
        self._users.drop(span)
        connection = self._open.pop(span, None)
        if connection is not None:
            connection.close()
        with closing(sqlite3.connect(self._path(span), isolation_level=None)) as connection:  # empties its log, too
            connection.execute("PRAGMA secure_delete = ON")
            query = "SELECT user, COUNT(*) FROM predictions WHERE user IS NOT NULL GROUP BY user ORDER BY user"
            users = dict(connection.execute(query).fetchall())
            for user in self._users.forgotten.keys() & users.keys():
                last = _first_key(self._users.forgotten[user] + 0.001)
                query = "DELETE FROM predictions WHERE user = ? AND key < ?"
                users[user] -= connection.execute(query, (user, last)).rowcount
        if _is_over(span, now):
            self._users.write(span, [(user, count) for user, count in users.items() if count])

    def _connection(self, span: int) -> sqlite3.Connection:
        connection = self._open.pop(span, None)
        if connection is None:
            while len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            connection = sqlite3.connect(self._path(span), isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
            _add_variants(connection)
        self._open[span] = connection
        return connection

    def _path(self, span: int) -> Path:
        return self._directory / f"{span}.sqlite"

    def _files(self, span: int) -> list[Path]:
        return list(self._directory.glob(f"{span}.sqlite*"))


def _is_over(span: int, now: float) -> bool:
    """Whether nothing more is told of the time of a file, but rarely."""
    return now >= (span + 2) * _SPAN_S


def _first_key(at: float) -> bytes:
    """All predictions made before then have smaller keys."""
    return int(at * 1000).to_bytes(6, "big")


def _is_forgotten(key: bytes, user: bytes | None, forgotten: Mapping[bytes, float]) -> bool:
    return user is not None and user in forgotten and key < _first_key(forgotten[user] + 0.001)


def _add_variants(connection: sqlite3.Connection) -> None:
    """To a file that a release before variants began."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(predictions)")}
    if "variant" not in columns:
        connection.execute("ALTER TABLE predictions ADD COLUMN variant TEXT")


def _version_id(connection: sqlite3.Connection, model: str, version: int) -> int:
    connection.execute("INSERT OR IGNORE INTO versions (model, version) VALUES (?, ?)", (model, version))
    query = "SELECT id FROM versions WHERE model = ? AND version = ?"
    return int(connection.execute(query, (model, version)).fetchone()[0])


def _label_ids(connection: sqlite3.Connection, names: Sequence[str]) -> list[int]:
    connection.executemany("INSERT OR IGNORE INTO labels (name) VALUES (?)", ((name,) for name in names))
    query = "SELECT id FROM labels WHERE name = ?"
    return [int(connection.execute(query, (name,)).fetchone()[0]) for name in names]


def _values(
    batch: feedback_pb2.RememberedPredictions, rows: Sequence[int], version: int, labels: Sequence[int]
) -> Iterator[tuple[bytes, int, int | None, float, int, bytes | None, str | None]]:
    ids, users = batch.ids, batch.users
    items, numbers, values, durations = batch.items, batch.labels, batch.values, batch.durations_us
    for row in rows:
        key = ids[_ID_BYTES * row : _ID_BYTES * row + _ID_BYTES] + items[row].to_bytes(2, "big")
        user = users[_USER_BYTES * row : _USER_BYTES * row + _USER_BYTES]
        label = labels[numbers[row] - 1] if numbers[row] else None
        yield key, version, label, values[row], durations[row], None if user == NO_USER else user, batch.variant or None


def _checked_count(batch: feedback_pb2.RememberedPredictions) -> int:
    count = len(batch.items)
    lengths = {len(batch.labels), len(batch.values), len(batch.durations_us)}
    fits = lengths == {count} and len(batch.ids) == _ID_BYTES * count and len(batch.users) == _USER_BYTES * count
    if not fits or any(label > len(batch.names) for label in batch.labels) or max(batch.items, default=0) >= 1 << 16:
        raise InvalidInput.of_field("versions", "has columns that do not fit together")
    return count
