"""The book of feedback: a SQLite file in which everything that users said stays, durably."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from lepton_ai.errors import FailedPrecondition
from services.health.feedback.complaints import Complaint
from services.health.feedback.figures import SCORE_BIN, Figures, Span, read_figures, read_spans
from services.health.feedback.transactions import transaction

_SCHEMAS = (
    """
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY, prediction TEXT NOT NULL, kind TEXT NOT NULL, said TEXT NOT NULL, submitted_at REAL NOT NULL,
  source TEXT NOT NULL, user BLOB, state TEXT NOT NULL, counts INTEGER NOT NULL,
  model TEXT NOT NULL DEFAULT '', version INTEGER NOT NULL DEFAULT 0, predicted TEXT NOT NULL DEFAULT '',
  value REAL NOT NULL DEFAULT 0, good INTEGER
);
CREATE INDEX entries_by_prediction ON entries (prediction, kind);
CREATE INDEX entries_by_version ON entries (model, version, kind) WHERE counts;
CREATE INDEX entries_by_user ON entries (user) WHERE user IS NOT NULL;
CREATE INDEX entries_waiting ON entries (submitted_at) WHERE state IN ('unknown', 'version_known');
CREATE TABLE tags (tag TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, is_remembered INTEGER NOT NULL,
  PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags (tag);
""",
    """
CREATE INDEX entries_by_kind ON entries (model, kind) WHERE counts;
CREATE INDEX entries_by_questionnaire ON entries (json_extract(said, '$.questionnaire')) WHERE kind = 'answers';
CREATE INDEX entries_verdicts ON entries (model, version, prediction, good, submitted_at, state)
  WHERE counts AND good IS NOT NULL;
CREATE TABLE questionnaires (name TEXT PRIMARY KEY, document TEXT NOT NULL, changed_at REAL NOT NULL) WITHOUT ROWID;
""",
    """
ALTER TABLE entries ADD COLUMN variant TEXT NOT NULL DEFAULT '';
""",
    f"""
CREATE INDEX entries_labels ON entries (model, version, predicted, said, {SCORE_BIN}, good, value, submitted_at)
  WHERE counts AND kind = 'label' AND state = 'joined';
""",
)
"""What each version of the schema adds to the one before."""


class Kind(StrEnum):
    """What was said."""

    LABEL = "label"
    RATING = "rating"
    THUMB = "thumb"
    TEXT = "text"
    ANSWERS = "answers"


class State(StrEnum):
    """What is known of its prediction."""

    JOINED = "joined"
    VERSION_KNOWN = "version_known"
    UNKNOWN = "unknown"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Entry:
    """One thing that somebody said of one prediction."""

    prediction: str
    kind: Kind
    said: object
    """A label, a rating, whether the thumb was up, a text, or a mapping of answers; as JSON has it."""
    submitted_at: float
    source: str
    user: bytes | None
    state: State
    model: str = ""
    version: int = 0
    predicted: str = ""
    value: float = 0.0
    good: bool | None = None
    """Whether it says that the prediction was right or good; None where it says neither."""
    variant: str = ""
    """Of the version, that predicted it; empty: the version itself."""
    seq: int = field(default=0, compare=False)


class StoredQuestionnaire(NamedTuple):
    """A questionnaire as it was given."""

    name: str
    document: str
    changed_at: float


class Answered(NamedTuple):
    """How often a question of a questionnaire was answered so."""

    question: str
    answer: str
    times: int


class FeedbackBook:
    """Use it from one thread. What `add` has returned for is on the disk."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises FailedPrecondition for one of a later release."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(_SCHEMAS):
            self._connection.close()
            raise FailedPrecondition(
                f"The feedback has schema {version}, this release knows {len(_SCHEMAS)}.",
                fix="Run the release that wrote it, or a later one.",
            )
        with transaction(self._connection):
            for statement in "".join(_SCHEMAS[version:]).split(";"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(_SCHEMAS)}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, entries: Sequence[Entry]) -> None:
        """Write them all or none; of the same kind on the same prediction the last one counts."""
        with transaction(self._connection):
            for entry in entries:
                counts = entry.state is not State.QUARANTINED
                if counts:
                    self._connection.execute(
                        "UPDATE entries SET counts = 0 WHERE prediction = ? AND kind = ?",
                        (entry.prediction, entry.kind),
                    )
                self._connection.execute(
                    "INSERT INTO entries (prediction, kind, said, submitted_at, source, user, state, counts, model, "
                    "version, predicted, value, good, variant) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*_said(entry), counts, *_known(entry)),
                )

    def waiting(self, since: float, *, limit: int = 1000) -> list[Entry]:
        """Entries submitted since then whose prediction is not known, the newest first."""
        query = (
            "SELECT * FROM entries WHERE state IN ('unknown', 'version_known') AND submitted_at >= ? "
            "ORDER BY submitted_at DESC LIMIT ?"
        )
        return self._entries(query, (since, limit))

    def join(self, entries: Sequence[Entry]) -> None:
        """Write what is known of their predictions by now."""
        with transaction(self._connection):
            self._connection.executemany(
                "UPDATE entries SET state = ?, model = ?, version = ?, predicted = ?, value = ?, good = ?, variant = ? "
                "WHERE seq = ?",
                ((each.state, *_known(each), each.seq) for each in entries),
            )

    def find(
        self, model: str, version: int, *, only_bad: bool = False, kind: Kind | None = None, limit: int
    ) -> list[Entry]:
        """What was said, the newest first; of all models for "", of all versions for 0."""
        query = (
            "SELECT * FROM entries WHERE (?1 = '' OR model = ?1) AND (?2 = 0 OR version = ?2) "
            "AND (?3 = '' OR kind = ?3) AND (NOT ?4 OR (counts AND good = 0)) ORDER BY seq DESC LIMIT ?5"
        )
        return self._entries(query, (model, version, kind or "", only_bad, limit))

    def figures(self, model: str, *, since: float = 0.0) -> Figures:
        """What counts for the quality of a model's versions, added up."""
        return read_figures(self._connection, model, since)

    def spans(self, *, recent: float) -> list[Span]:
        """What counts of all models, by version, kind, source, and whether it was submitted since then."""
        return read_spans(self._connection, recent)

    def complaint_times(self, since: float) -> list[tuple[str, float]]:
        """(model, when) of texts submitted since then, one for each prediction that nobody calls good."""
        query = (
            "SELECT model, MIN(submitted_at) FROM entries AS texts WHERE kind = 'text' AND counts AND version > 0 "
            "AND submitted_at >= ? AND COALESCE((SELECT MIN(good) FROM entries "
            "WHERE prediction = texts.prediction AND counts), 0) = 0 GROUP BY model, prediction"
        )
        return list(self._connection.execute(query, (since,)))

    def labels(self, model: str, *, before: int, limit: int) -> list[Entry]:
        """Right labels of a model's predictions that were written before this one (`seq`), the newest first."""
        query = (
            "SELECT * FROM entries WHERE counts AND model = ? AND kind = 'label' AND seq < ? ORDER BY seq DESC LIMIT ?"
        )
        return self._entries(query, (model, before, limit))

    def label_of(self, prediction: str) -> Entry | None:
        """The right label of a prediction, if somebody said it."""
        query = "SELECT * FROM entries WHERE prediction = ? AND kind = 'label' AND counts"
        return next(iter(self._entries(query, (prediction,))), None)

    def predictions_of(self, user: bytes) -> list[str]:
        """Of which a user said something."""
        return [row[0] for row in self._connection.execute("SELECT prediction FROM entries WHERE user = ?", (user,))]

    def tallies(self, model: str, *, since: float) -> Mapping[tuple[int, str], tuple[int, int]]:
        """Version and variant → predictions made since then that were called good and bad.

        Where predictions are remembered only those count that are: anybody can make up the id of one that never was.
        """
        query = (
            "SELECT version, variant, SUM(good), SUM(NOT good) FROM (SELECT entries.version, variant, prediction, "
            "MIN(good) AS good FROM entries JOIN tags ON tags.model = entries.model AND tags.version = entries.version "
            "WHERE counts AND good IS NOT NULL AND entries.model = ? AND prediction >= ? "
            "AND (state = 'joined' OR NOT is_remembered) GROUP BY entries.version, variant, prediction) "
            "GROUP BY version, variant"
        )
        first = f"{max(0, int(since * 1000)):012x}"  # ids sort by time
        return {(row[0], row[1]): (row[2], row[3]) for row in self._connection.execute(query, (model, first))}

    def complaints(self, model: str, version: int, *, since: float, limit: int) -> list[Complaint]:
        """What was written of predictions that nobody calls good, the newest; of all versions for 0."""
        query = (
            "SELECT said, version, submitted_at FROM entries AS texts WHERE kind = 'text' AND counts AND model = ?1 "
            "AND (?2 = 0 OR version = ?2) AND submitted_at >= ?3 AND COALESCE((SELECT MIN(good) FROM entries "
            "WHERE prediction = texts.prediction AND counts), 0) = 0 ORDER BY seq DESC LIMIT ?4"
        )
        rows = self._connection.execute(query, (model, version, since, limit))
        return [Complaint(json.loads(said), version, at) for said, version, at in rows]

    def answers(self, questionnaire: str, model: str, *, since: float) -> list[Answered]:
        """What was answered to a questionnaire's questions, the newest first; of all models for ""."""
        query = (
            "SELECT given.key, given.value, COUNT(*) FROM entries, json_each(entries.said, '$.answers') AS given "
            "WHERE kind = 'answers' AND json_extract(said, '$.questionnaire') = ?1 AND counts "
            "AND state IN ('joined', 'version_known') AND (?2 = '' OR model = ?2) AND submitted_at >= ?3 "
            "GROUP BY given.key, given.value ORDER BY MAX(seq) DESC"
        )
        return [Answered(*row) for row in self._connection.execute(query, (questionnaire, model, since))]

    def set_questionnaire(self, questionnaire: StoredQuestionnaire) -> None:
        """Store it in place of the one of its name."""
        self._connection.execute("INSERT OR REPLACE INTO questionnaires VALUES (?, ?, ?)", questionnaire)

    def questionnaires(self) -> list[StoredQuestionnaire]:
        """All of them by name."""
        return [StoredQuestionnaire(*row) for row in self._connection.execute("SELECT * FROM questionnaires")]

    def remove_questionnaire(self, name: str) -> None:
        """Take it away."""
        self._connection.execute("DELETE FROM questionnaires WHERE name = ?", (name,))

    def forget_user(self, user: bytes) -> int:
        """Delete what a user said; returns how many entries."""
        with transaction(self._connection):
            return self._connection.execute("DELETE FROM entries WHERE user = ?", (user,)).rowcount

    def note_version(self, tag: str, model: str, version: int, *, is_remembered: bool) -> None:
        """Remember which version a tag of ids stands for, and whether its predictions are remembered."""
        self._connection.execute(
            "INSERT INTO tags VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET is_remembered = MAX(is_remembered, excluded.is_remembered)",
            (tag, model, version, is_remembered),
        )

    def versions_of(self, tag: str) -> list[tuple[str, int]]:
        """The versions that ids with this tag may be of."""
        return list(self._connection.execute("SELECT model, version FROM tags WHERE tag = ?", (tag,)))

    def _entries(self, query: str, parameters: Sequence[object]) -> list[Entry]:
        cursor = self._connection.execute(query, tuple(parameters))
        names = [column[0] for column in cursor.description]
        return [_entry(dict(zip(names, row, strict=True))) for row in cursor]


def _said(entry: Entry) -> tuple[object, ...]:
    """The columns from `prediction` to `state`."""
    said = json.dumps(entry.said, ensure_ascii=False)
    return entry.prediction, entry.kind, said, entry.submitted_at, entry.source, entry.user, entry.state


def _known(entry: Entry) -> tuple[object, ...]:
    """The columns from `model` on."""
    return entry.model, entry.version, entry.predicted, entry.value, entry.good, entry.variant


def _entry(row: dict[str, Any]) -> Entry:
    good = row["good"]
    del row["counts"]
    converted = {
        **row,
        "kind": Kind(str(row["kind"])),
        "state": State(str(row["state"])),
        "said": json.loads(str(row["said"])),
        "good": None if good is None else bool(good),
    }
    return Entry(**converted)
