"""The score of the Numenta Anomaly Benchmark (Lavin and Ahmad, ICMLA 2015), as its reference implementation counts.

A window counts once, by its earliest detection: +1 for one at its beginning, falling along a sigmoid to 0 at its end;
-1 when nothing is detected in it. Detections outside windows cost up to 0.11 each, less shortly after a window. One
threshold holds for the whole corpus. 100 is perfect, 0 is a detector that never says anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.nab.corpus import LabelledSeries

Floats = NDArray[np.float64]
_FALSE_ALARM, _MISSED = 0.11, 1.0
_STEEPNESS = 5.0
_FAR = 3.0
"""Window lengths behind a window after which a false alarm costs all."""


@dataclass(frozen=True)
class Scored:
    """What a corpus gives at one threshold."""

    score: float
    """0 for silence, 100 for perfect; below 0 for worse than silence."""
    threshold: float
    """Anomaly scores of at least this are detections."""
    found: int
    """Windows with a detection."""
    windows: int
    false_alarms: int
    """Detections outside windows."""


@dataclass(frozen=True)
class _Ranked:
    """All scored rows of a corpus in falling order of their anomaly scores, and what each row adds to the total."""

    anomalies: Floats
    gains: Floats
    opens: NDArray[np.bool_]
    """Whether the row is the first detection of its window."""
    outside: NDArray[np.bool_]
    windows: int


def best_score(corpus: Sequence[LabelledSeries], anomalies: Sequence[Floats]) -> Scored:
    """The score at the threshold that suits the whole corpus best, as the benchmark reports it."""
    ranked = _rank(corpus, anomalies)
    # A threshold cannot part equal anomaly scores: totals count at the last of them.
    last = np.append(ranked.anomalies[1:] != ranked.anomalies[:-1], True)
    totals = np.where(last, np.cumsum(ranked.gains), -np.inf)
    best = int(np.argmax(totals))
    if totals[best] <= 0.0:
        return _scored(ranked, 0, float(np.nextafter(ranked.anomalies[0], np.inf)))
    return _scored(ranked, best + 1, float(ranked.anomalies[best]))


def score_at(corpus: Sequence[LabelledSeries], anomalies: Sequence[Floats], threshold: float) -> Scored:
    """The score at a threshold that was fixed before."""
    ranked = _rank(corpus, anomalies)
    return _scored(ranked, int(np.sum(ranked.anomalies >= threshold)), threshold)


def weigh(series: LabelledSeries) -> tuple[Floats, NDArray[np.int64]]:
    """What a detection at each row is worth, and the window that each row is in (-1: in none)."""
    count = len(series.values)
    weights, inside = np.full(count, -_FALSE_ALARM), np.full(count, -1)
    rows = np.arange(count)
    for first, last in series.windows:
        width = last - first + 1
        behind = rows > last
        passed = (rows - last) / max(width - 1, 1)
        weights[behind] = _FALSE_ALARM * np.where(passed > _FAR, -1.0, _sigmoid(passed))[behind]
    for index, (first, last) in enumerate(series.windows):
        width = last - first + 1
        within = slice(first, last + 1)
        weights[within] = _sigmoid(-(last - rows[within] + 1) / width) / _sigmoid(np.array(-1.0))
        inside[within] = index
    return weights, inside


def _sigmoid(position: Floats) -> Floats:
    """From nearly 1 one window length before the end of a window, over 0 at its end, to nearly -1."""
    value: Floats = 2.0 / (1.0 + np.exp(_STEEPNESS * position)) - 1.0
    return value


def _rank(corpus: Sequence[LabelledSeries], anomalies: Sequence[Floats]) -> _Ranked:
    columns: list[tuple[Floats, Floats, NDArray[np.int64]]] = []
    windows = 0
    for series, scores in zip(corpus, anomalies, strict=True):
        weights, inside = weigh(series)
        named = np.where(inside >= 0, inside + windows, -1)
        windows += len(series.windows)
        columns.append((scores[series.probation :], weights[series.probation :], named[series.probation :]))
    scores, weights, named = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.argsort(-scores, kind="stable")
    scores, weights, named = scores[order], weights[order], named[order]
    gains, opens = weights.copy(), np.zeros(len(scores), bool)
    for window in range(windows):
        rows = np.flatnonzero(named == window)
        if len(rows):
            reached = np.maximum.accumulate(weights[rows])
            gains[rows] = np.diff(reached, prepend=-_MISSED)
            opens[rows[0]] = True
    return _Ranked(scores, gains, opens, named < 0, windows)


def _scored(ranked: _Ranked, rows: int, threshold: float) -> Scored:
    """Of the first rows: silence is minus one for every window, perfection plus one."""
    score = 100.0 * float(ranked.gains[:rows].sum()) / (2.0 * _MISSED * max(ranked.windows, 1))
    found = int(ranked.opens[:rows].sum())
    return Scored(score, threshold, found, ranked.windows, int(ranked.outside[:rows].sum()))
