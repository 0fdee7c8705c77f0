"""What one version has answered: counts of its golden window, and of the latest predictions."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np

from services.health.detect.drift.statistics import MAX_BINS, Comparison, compare

GOLDEN = 5000
"""The first so many predictions of a version are what later ones are compared with."""
_BLOCK = 500
_BLOCKS = 8
"""The latest predictions are the last eight blocks of 500, of at most a day."""
LATEST_S = 86_400.0
MOST_SHARES = 5


_NAMED, _OTHERS = 10, 10
"""Bins of frequent labels, and of all others by their hash: a bin for each of them would be chance."""
_FREQUENT = 0.01


@dataclass
class Counts:
    """Predictions by their label and by their number, in bins that the golden window has set."""

    labels: list[int]
    numbers: list[int]
    begun_s: float = 0.0
    count: int = 0


class Source(Enum):
    """What the latest are compared with."""

    FIRST = "first"
    """The first ones after deployment."""
    TRAINING = "training"
    """The profile of the training data."""


@dataclass(frozen=True)
class Finding:
    """One comparison of a version, and where it differs."""

    what: str
    comparison: Comparison
    latest_since_s: float
    shares: Sequence[tuple[str, float, float]]
    """Name, share in the golden window, share of late; where they differ the most."""
    bins: Sequence[tuple[str, float, float]] = ()
    """The same of all bins in order, for inputs."""
    source: Source = Source.FIRST


class VersionTally:
    """Counts the predictions of one version in bounded room."""

    def __init__(self) -> None:
        self._golden = Counts([], [])
        self._first_labels: Counter[str] = Counter()
        self._first_numbers: list[float] = []
        """Of the golden window, until it is full and sets the bins."""
        self._named: list[str] = []
        self._edges: list[float] = []
        self._blocks: deque[Counts] = deque(maxlen=_BLOCKS)

    def add(self, labels: Sequence[str], values: Sequence[float], now_s: float) -> None:
        """Count predictions: the label of each ("" for a number), and its score or the number."""
        start = 0
        if self._golden.count < GOLDEN:
            start = min(GOLDEN - self._golden.count, len(labels))
            self._first_numbers += [value for value in values[:start] if math.isfinite(value)]
            self._first_labels.update(label for label in labels[:start] if label)
            self._golden.count += start
            if self._golden.count == GOLDEN:
                self._close_golden()
        while start < len(labels):
            if not self._blocks or self._blocks[-1].count >= _BLOCK:
                self._blocks.append(self._empty(now_s))
            block = self._blocks[-1]
            stop = min(start + _BLOCK - block.count, len(labels))
            self._count(block, Counter(label for label in labels[start:stop] if label), values[start:stop])
            block.count += stop - start
            start = stop

    def findings(self, now_s: float) -> list[Finding]:
        """What there is to compare: labels and scores, or numbers."""
        latest = [block for block in self._blocks if block.begun_s > now_s - LATEST_S]
        since_s = latest[0].begun_s if latest else now_s
        has_labels = bool(self._first_labels) or sum(self._golden.labels) > 0
        found = [self._labels(latest, since_s)] if has_labels else []
        return [*found, self._numbers(latest, since_s, "score" if has_labels else "number")]

    def _labels(self, latest: Sequence[Counts], since_s: float) -> Finding:
        if self._golden.count < GOLDEN:
            return _finding("label", [], [self._first_labels.total()], [0], since_s, ordered=False)
        now = np.sum([block.labels for block in latest], axis=0).tolist() if latest else [0] * len(self._golden.labels)
        names = [*self._named, *(f"others, part {part} of {_OTHERS}" for part in range(1, _OTHERS + 1))]
        return _finding("label", names, self._golden.labels, now, since_s, ordered=False)

    def _numbers(self, latest: Sequence[Counts], since_s: float, what: str) -> Finding:
        if self._golden.count < GOLDEN:
            return _finding(what, [], [len(self._first_numbers)], [0], since_s, ordered=True)
        before = self._golden.numbers
        now = np.sum([block.numbers for block in latest], axis=0).tolist() if latest else [0] * len(before)
        ends = ["-∞", *(f"{edge:.4g}" for edge in self._edges), "∞"]
        names = [f"{low} … {high}" for low, high in pairwise(ends)]
        return _finding(what, names, before, now, since_s, ordered=True)

    def _close_golden(self) -> None:
        """Frequent labels get bins of their own; numbers bins of about equal counts, fewer where many are the same."""
        frequent = [label for label, count in self._first_labels.most_common(_NAMED) if count >= _FREQUENT * GOLDEN]
        self._named = sorted(frequent)
        if self._first_numbers:
            quantiles = np.quantile(self._first_numbers, np.linspace(0.0, 1.0, MAX_BINS + 1)[1:-1])
            self._edges = np.unique(quantiles).tolist()
        self._golden = self._empty(0.0)
        self._golden.count = GOLDEN
        self._count(self._golden, self._first_labels, self._first_numbers)
        self._first_labels, self._first_numbers = Counter(), []

    def _empty(self, now_s: float) -> Counts:
        return Counts([0] * (len(self._named) + _OTHERS), [0] * (len(self._edges) + 1), now_s)

    def _count(self, counts: Counts, labels: Mapping[str, int], numbers: Sequence[float]) -> None:
        for label, count in labels.items():
            counts.labels[self._place(label)] += count
        known = np.array(numbers, float)
        places = np.searchsorted(self._edges, known[np.isfinite(known)], side="left")
        for place, count in zip(*np.unique(places, return_counts=True), strict=True):
            counts.numbers[int(place)] += int(count)

    def _place(self, label: str) -> int:
        if label in self._named:
            return self._named.index(label)
        return len(self._named) + crc32(label.encode()) % _OTHERS

    def as_json(self) -> dict[str, Any]:
        """All of it, as what `json` can write."""
        return {
            "golden": _counts_json(self._golden),
            "first_labels": dict(self._first_labels),
            "first_numbers": self._first_numbers,
            "named": self._named,
            "edges": self._edges,
            "blocks": [_counts_json(block) for block in self._blocks],
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> VersionTally:
        """The tally that `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        tally = cls()
        tally._golden = _counts(known["golden"])
        tally._first_labels = Counter(known["first_labels"])
        tally._first_numbers = [float(each) for each in known["first_numbers"]]
        tally._named = [str(each) for each in known["named"]]
        tally._edges = [float(each) for each in known["edges"]]
        tally._blocks.extend(_counts(block) for block in known["blocks"])
        return tally


def _finding(
    what: str, names: Sequence[str], golden: Sequence[int], latest: Sequence[int], since_s: float, *, ordered: bool
) -> Finding:
    before, now = max(sum(golden), 1), max(sum(latest), 1)
    shares = [(name, a / before, b / now) for name, a, b in zip(names, golden, latest, strict=False)]
    shares.sort(key=lambda share: -abs(share[1] - share[2]))
    return Finding(what, compare(golden, latest, ordered=ordered), since_s, shares[:MOST_SHARES])


def _counts_json(counts: Counts) -> list[Any]:
    return [counts.labels, counts.numbers, counts.begun_s, counts.count]


def _counts(known: Sequence[Any]) -> Counts:
    labels, numbers, begun_s, count = known
    return Counts([int(each) for each in labels], [int(each) for each in numbers], float(begun_s), int(count))
