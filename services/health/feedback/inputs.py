"""Inputs of predictions that a package allows to be kept: a private SQLite file, each content in it once."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.prediction_ids import PredictionId, parse_prediction_id
from lepton_ai.v1 import feedback_pb2
from services.health.feedback.transactions import transaction

_ROW_BYTES = 256
"""What an input takes beside its content, about."""
_DIGEST_BYTES = 16
_FORGOTTEN_S = 86_400.0
"""How long after a user was forgotten a replica may still tell of what he sent before; it is far less."""
_PAGE_BYTES = 4 << 20
_ROOM = 16
"""Part of all room that is made at once."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS contents (digest BLOB PRIMARY KEY, size INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS inputs (key BLOB PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, user BLOB,
  kept_for INTEGER NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL, other TEXT NOT NULL,
  expires_at REAL NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inputs_by_model ON inputs (model, key);
CREATE INDEX IF NOT EXISTS inputs_by_user ON inputs (user) WHERE user IS NOT NULL;
CREATE INDEX IF NOT EXISTS inputs_by_end ON inputs (expires_at);
CREATE INDEX IF NOT EXISTS inputs_by_content ON inputs (digest);
CREATE TABLE IF NOT EXISTS kinds (model TEXT NOT NULL, version INTEGER NOT NULL, kinds TEXT NOT NULL,
  PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (user BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class KeptInput:
    """What a caller sent, and what was predicted."""

    prediction: PredictionId
    model: str
    version: int
    user: bytes
    kept_for: int
    predicted: str
    score: float
    other: str
    content: bytes
    """An Item, serialised."""


class KeptInputs:
    """Use it from one thread. Nobody but the owner of the file may read it, and what is deleted is overwritten."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or make it. Above `max_bytes` the oldest go, of the model that takes most."""
        self._max_bytes = max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite's own files beside it get the same mode
        path.chmod(0o600)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA secure_delete = ON")
        self._connection.executescript(_SCHEMA)
        self._bytes = self._count_bytes()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def size_bytes(self) -> int:
        """Of all contents and what is told of them, about."""
        return self._bytes

    def add(self, batch: feedback_pb2.KeptInputs, now: float) -> int:
        """Keep inputs of a version; returns how many were new. Raises InvalidInput for what has no id."""
        with transaction(self._connection):
            self._connection.execute(
                "INSERT OR REPLACE INTO kinds VALUES (?, ?, ?)",
                (batch.model, batch.version, json.dumps(dict(batch.input_kinds), ensure_ascii=False)),
            )
            added = [self._add(batch, each, now) for each in batch.inputs]
        self._bytes += sum(added)
        if self._bytes > self._max_bytes:
            self._make_room()
        return sum(each > 0 for each in added)

    def find(self, prediction: PredictionId) -> KeptInput | None:
        """What is kept of a prediction."""
        return next(self._select("key = ?", (prediction.key,)), None)

    def page(self, model: str, *, before: bytes, limit: int) -> list[KeptInput]:
        """Inputs of a model with smaller keys, the newest first; fewer where they are large."""
        found: list[KeptInput] = []
        size_bytes = 0
        for each in self._select("model = ? AND key < ? ORDER BY key DESC LIMIT ?", (model, before, limit)):
            found.append(each)
            size_bytes += len(each.content)
            if size_bytes > _PAGE_BYTES:
                break
        return found

    def kinds(self, model: str) -> Mapping[str, str]:
        """Kind of each input by name; where versions differ, as in the latest."""
        merged: dict[str, str] = {}
        query = "SELECT kinds FROM kinds WHERE model = ? ORDER BY version"
        for (kinds,) in self._connection.execute(query, (model,)):
            merged |= json.loads(kinds)
        return merged

    def forget_user(self, user: bytes, predictions: Iterable[str], now: float) -> int:
        """Delete what was kept for a user and of these predictions, also what is told later; returns how many."""
        with transaction(self._connection):
            self._connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (user, now))
            gone = self._connection.execute("DELETE FROM inputs WHERE user = ?", (user,)).rowcount
            keys = [(parse_prediction_id(each).key,) for each in predictions]
            gone += self._connection.executemany("DELETE FROM inputs WHERE key = ?", keys).rowcount if keys else 0
        self._sweep()
        return gone

    def forget_old(self, now: float) -> int:
        """Delete what was kept as long as its package allows; returns how many."""
        self._connection.execute("DELETE FROM forgotten WHERE at < ?", (now - _FORGOTTEN_S,))
        gone = self._connection.execute("DELETE FROM inputs WHERE expires_at <= ?", (now,)).rowcount
        if gone:
            self._sweep()
        return gone

    def _add(self, batch: feedback_pb2.KeptInputs, each: feedback_pb2.KeptInput, now: float) -> int:
        """Returns how many bytes it takes."""
        prediction = parse_prediction_id(each.prediction_id)
        if len(each.user) not in (0, 8):
            raise InvalidInput.of_field("user", "is not a hash of eight bytes")
        query = "SELECT 1 FROM forgotten WHERE user = ? AND at >= ?"
        if each.user and self._connection.execute(query, (each.user, prediction.made_at)).fetchone():
            return 0
        content = each.item.SerializeToString(deterministic=True)
        digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
        row = (prediction.key, batch.model, batch.version, each.user or None, each.kept_for, each.predicted)
        added = self._connection.execute(
            "INSERT OR IGNORE INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, each.score, each.other, min(now, prediction.made_at) + batch.keep_s, digest),
        ).rowcount
        if each.other and not added:  # kept already, before another version disagreed
            self._connection.execute(
                "UPDATE inputs SET other = ?, kept_for = ? WHERE key = ?", (each.other, each.kept_for, prediction.key)
            )
        stored = self._connection.execute(
            "INSERT OR IGNORE INTO contents VALUES (?, ?, ?)", (digest, len(content), content)
        ).rowcount
        return _ROW_BYTES * added + len(content) * stored

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes:
            largest = (
                "SELECT model FROM inputs JOIN contents USING (digest) GROUP BY model ORDER BY SUM(size) DESC LIMIT 1"
            )
            (model,) = self._connection.execute(largest).fetchone()
            query = "SELECT key, size FROM inputs JOIN contents USING (digest) WHERE model = ? ORDER BY key"
            wanted, last = self._bytes - self._max_bytes + self._max_bytes // _ROOM, b""
            for last, size in self._connection.execute(query, (model,)):  # noqa: B007 - the last one is what counts
                wanted -= size + _ROW_BYTES
                if wanted <= 0:
                    break
            self._connection.execute("DELETE FROM inputs WHERE model = ? AND key <= ?", (model, last))
            self._sweep()

    def _sweep(self) -> None:
        """Delete contents that no input has any more, and give their room back."""
        self._connection.execute(
            "DELETE FROM contents WHERE NOT EXISTS (SELECT 1 FROM inputs WHERE inputs.digest = contents.digest)"
        )
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # the log held it, too
        self._bytes = self._count_bytes()

    def _count_bytes(self) -> int:
        (contents,) = self._connection.execute("SELECT COALESCE(SUM(size), 0) FROM contents").fetchone()
        (rows,) = self._connection.execute("SELECT COUNT(*) FROM inputs").fetchone()
        return int(contents + _ROW_BYTES * rows)

    def _select(self, condition: str, parameters: Sequence[object]) -> Iterator[KeptInput]:
        query = (
            "SELECT key, model, version, user, kept_for, predicted, score, other, content "  # noqa: S608 - our conditions
            f"FROM inputs JOIN contents USING (digest) WHERE {condition}"
        )
        for key, model, version, user, *told in self._connection.execute(query, tuple(parameters)):
            yield KeptInput(PredictionId.of_key(key), model, version, user or b"", *told)
