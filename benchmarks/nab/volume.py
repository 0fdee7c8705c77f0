"""VUS-PR: the volume under the surface of range-aware precision and recall (Paparrizos et al., PVLDB 15(11), 2022).

Needs no threshold: it judges the ranking of all rows. A detection shortly before or behind a window counts in part, and
the result is the mean over all widths of that tolerance. 1 is perfect; a ranking by chance gets about the share of rows
that lie in windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
THRESHOLDS = 250
_LONGEST, _SHORTEST, _USUAL = 300, 3, 125


@dataclass(frozen=True)
class _Ranking:
    """Rows by falling scores, and how many of them each threshold detects."""

    scores: Floats
    order: NDArray[np.int64]
    thresholds: Floats
    counts: NDArray[np.int64]

    def detected(self, weights: Floats) -> Floats:
        """The weights of all rows that each threshold detects, summed."""
        summed: Floats = np.cumsum(weights[self.order])[self.counts - 1]
        return summed


def vus_pr(windows: Sequence[tuple[int, int]], scores: Floats, *, tolerance: int) -> float:
    """The mean of the areas under precision and recall with tolerances of 0…`tolerance` rows.

    `windows`: first and last row of each. `scores` [n]: the higher, the odder.
    """
    order = np.argsort(-scores, kind="stable")
    thresholds = scores[order][np.linspace(0, len(scores) - 1, THRESHOLDS).astype(int)]
    counts = np.searchsorted(-scores[order], -thresholds, side="right")
    ranking = _Ranking(scores, order, thresholds, counts)
    return float(np.mean([_area(windows, ranking, width) for width in range(tolerance + 1)]))


def usual_period(values: Floats) -> int:
    """The lag at which a series is most like itself (first strong peak of its autocorrelation); 125 without one.

    What the benchmark TSB-AD takes as the greatest tolerance.
    """
    head = values[: min(len(values), 20_000)] - np.mean(values[: min(len(values), 20_000)])
    spectrum = np.abs(np.fft.rfft(head, 2 * len(head))) ** 2
    correlations = np.fft.irfft(spectrum)[_SHORTEST : min(400, len(head) // 2)]
    inner = correlations[1:-1]
    peaks = np.flatnonzero((inner > correlations[:-2]) & (inner > correlations[2:])) + 1
    if not len(peaks):
        return _USUAL
    beyond = int(peaks[np.argmax(correlations[peaks])])
    return beyond + _SHORTEST if _SHORTEST <= beyond <= _LONGEST else _USUAL


def _area(windows: Sequence[tuple[int, int]], ranking: _Ranking, width: int) -> float:
    length = len(ranking.scores)
    hard = np.zeros(length)
    for first, last in windows:
        hard[first : last + 1] = 1.0
    labels = _softened(windows, length, width)
    found = ranking.detected(labels)
    # A window counts whole; its softened edges count as far as they were detected.
    positives = (2.0 * hard.sum() + ranking.detected(labels * (1.0 - hard))) / 2.0
    peaks = [ranking.scores[first : last + 1].max() for first, last in _spans(labels > 0.0)]
    existence = np.mean([ranking.thresholds <= peak for peak in peaks], axis=0)
    recall = np.minimum(found / positives, 1.0) * existence
    return float(np.sum(np.diff(recall, prepend=0.0) * found / ranking.counts))


def _softened(windows: Sequence[tuple[int, int]], length: int, width: int) -> Floats:
    """Labels that fall off over half the width on both sides of each window."""
    labels = np.zeros(length)
    for first, last in windows:
        labels[first : last + 1] += 1.0
        behind = np.arange(last + 1, min(last + width // 2 + 1, length))
        before = np.arange(max(first - width // 2, 0), first)
        labels[behind] += np.sqrt(1.0 - (behind - last) / max(width, 1))
        labels[before] += np.sqrt(1.0 - (first - before) / max(width, 1))
    return np.minimum(labels, 1.0)


def _spans(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(int)))
    return [(int(first), int(behind) - 1) for first, behind in zip(edges[::2], edges[1::2], strict=True)]
