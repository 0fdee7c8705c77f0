"""What was said of a model's versions, added up by the database: quality is computed from it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

BINS = 10
"""Of scores, from 0 to 1."""
_MOST_CONFUSIONS = 20
_DAY_S = 86_400
SCORE_BIN = f"MIN(MAX(CAST(value * {BINS} AS INTEGER), 0), {BINS - 1})"
"""Of an entry; part of an index, so that it must not change without the schema."""
_COUNTS = "counts AND model = ?1 AND submitted_at >= ?2"
_COUNTED = f"FROM entries WHERE {_COUNTS}"
_LABELS = f"{_COUNTS} AND kind = 'label' AND state = 'joined'"
# Named, as what is read and grouped in the order of an index costs a third of what has to be looked up and sorted.
_LABELLED = f"FROM entries INDEXED BY entries_labels WHERE {_LABELS}"
_OF_KIND = f"FROM entries INDEXED BY entries_by_kind WHERE {_COUNTS}"


class Verdicts(NamedTuple):
    """How many predictions of a version are called good and bad by what was said last on a day."""

    version: int
    day: int
    """Its first second."""
    good: int
    bad: int


class ScoreBin(NamedTuple):
    """Labelled predictions of a version whose score is in a bin."""

    version: int
    bin: int
    labelled: int
    right: int
    scores: float
    """Their sum."""


class Confusion(NamedTuple):
    """How often a version said one label where another is right."""

    version: int
    predicted: str
    label: str
    times: int


class RightNumber(NamedTuple):
    """A number that a version predicted, and what somebody said instead."""

    version: int
    said: str
    predicted: float


class Ratings(NamedTuple):
    """Of a version."""

    version: int
    rated: int
    total: float


class SourceLabels(NamedTuple):
    """Labels of a version that one source gave: a host, a form visitor, or a user of a token."""

    version: int
    source: str
    labelled: int
    right: int


class Figures(NamedTuple):
    """All of it for one model."""

    verdicts: Sequence[Verdicts] = ()
    bins: Sequence[ScoreBin] = ()
    confusions: Sequence[Confusion] = ()
    """The most frequent of each version."""
    numbers: Sequence[RightNumber] = ()
    ratings: Sequence[Ratings] = ()
    texts: Sequence[tuple[int, int]] = ()
    """(version, how many)"""
    sources: Sequence[SourceLabels] = ()


def read_figures(connection: sqlite3.Connection, model: str, since: float) -> Figures:
    """What counts of a model and was submitted since then."""

    def rows(query: str) -> Iterator[tuple[object, ...]]:
        return connection.execute(query, (model, since))

    return Figures(
        verdicts=[Verdicts(*row) for row in rows(_VERDICTS)],  # type: ignore[arg-type]
        bins=[ScoreBin(*row) for row in rows(_BINS)],  # type: ignore[arg-type]
        confusions=[
            Confusion(version, predicted, str(json.loads(said)), times)  # type: ignore[arg-type]
            for version, predicted, said, times in rows(_CONFUSIONS)
        ],
        numbers=[RightNumber(version, str(json.loads(said)), value) for version, said, value in rows(_NUMBERS)],  # type: ignore[arg-type]
        ratings=[Ratings(*row) for row in rows(_RATINGS)],  # type: ignore[arg-type]
        texts=[(version, times) for version, times in rows(_TEXTS)],  # type: ignore[misc]
        sources=[SourceLabels(*row) for row in rows(_SOURCES)],  # type: ignore[arg-type]
    )


_VERDICTS = f"""
SELECT version, day * {_DAY_S}, SUM(good), SUM(NOT good) FROM (
  SELECT version, MIN(good) AS good, CAST(MAX(submitted_at) AS INTEGER) / {_DAY_S} AS day
  {_COUNTED} AND good IS NOT NULL GROUP BY version, prediction
) GROUP BY version, day ORDER BY version, day
"""  # noqa: S608 - all parts are ours
_BINS = f"""
SELECT version, bin, SUM(labelled), SUM(right), SUM(scores) FROM (
  SELECT version, {SCORE_BIN} AS bin, COUNT(*) AS labelled, SUM(good) AS right, SUM(value) AS scores
  {_LABELLED} AND predicted != '' GROUP BY version, predicted, said, bin
) GROUP BY version, bin
"""  # noqa: S608
_CONFUSIONS = f"""
SELECT version, predicted, said, times FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY version ORDER BY times DESC, predicted, said) AS place FROM (
    SELECT version, predicted, said, COUNT(*) AS times {_LABELLED} AND predicted != '' AND good = 0
    GROUP BY version, predicted, said
  )
) WHERE place <= {_MOST_CONFUSIONS} ORDER BY version, place
"""  # noqa: S608
_NUMBERS = f"SELECT version, said, value {_LABELLED} AND predicted = ''"
_RATINGS = f"SELECT version, COUNT(*), SUM(CAST(said AS REAL)) {_OF_KIND} AND kind = 'rating' GROUP BY version"
_TEXTS = f"SELECT version, COUNT(*) {_OF_KIND} AND kind = 'text' GROUP BY version"
# Behind a token there is an application that says whom it speaks for; whoever else names a user may name any.
_SPEAKER = (
    "CASE WHEN substr(source, 1, 5) IN ('ipv4:', 'ipv6:', 'form:', 'unix:') THEN source "
    "ELSE source || ':' || COALESCE(hex(user), '') END"
)
_SOURCES = f"""
SELECT version, {_SPEAKER} AS speaker, COUNT(*), SUM(good)
FROM entries INDEXED BY entries_by_kind WHERE {_LABELS} AND predicted != '' GROUP BY version, speaker
"""  # noqa: S608


class Span(NamedTuple):
    """What was said of a version's predictions by one source, lately or earlier."""

    model: str
    version: int
    kind: str
    """label, thumb, rating or text."""
    is_recent: bool
    """As SQLite says it: 1 or 0."""
    source: str
    said: int
    good: int
    total: float
    """Of ratings their sum."""
    squares: float
    """Of ratings the sum of their squares."""


def read_spans(connection: sqlite3.Connection, recent: float) -> list[Span]:
    """What counts of all models; recent is what was submitted since then."""
    return [Span(*row) for row in connection.execute(_SPANS, (recent,))]


_SPANS = f"""
SELECT model, version, kind, submitted_at >= ?1 AS is_recent, {_SPEAKER} AS speaker, COUNT(*), SUM(COALESCE(good, 0)),
  SUM(CASE kind WHEN 'rating' THEN CAST(said AS REAL) ELSE 0 END),
  SUM(CASE kind WHEN 'rating' THEN CAST(said AS REAL) * CAST(said AS REAL) ELSE 0 END)
FROM entries WHERE counts AND version > 0 AND kind != 'answers'
  AND (kind != 'label' OR (state = 'joined' AND predicted != ''))
GROUP BY model, version, kind, is_recent, speaker
"""  # noqa: S608
