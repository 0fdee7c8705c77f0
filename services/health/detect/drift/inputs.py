"""What one version is given: counts of every feature of its inputs, in the bins of its reference."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lepton_ai.inputs.counts import MAX_FEATURES, FeatureCounts, InputCounts
from lepton_ai.inputs.profile import Profile, Reference
from services.health.detect.drift.statistics import LEAST_COUNT, compare
from services.health.detect.drift.tally import LATEST_S, MOST_SHARES, Finding, Source

GOLDEN_ROWS = 2000
"""Of live rows, before a feature is compared that the profile of the training data does not have."""
_BLOCK = 500
_BLOCKS = 8
"""The latest rows are the last eight blocks of 500, of at most a day."""


@dataclass
class _Block:
    begun_s: float
    rows: int = 0
    features: dict[str, list[int]] = field(default_factory=dict)
    """Feature → rows in each of its bins."""


class InputTally:
    """Counts the inputs of one version in bounded room."""

    def __init__(self, profile: Profile | None = None, digest: str = "") -> None:
        """`digest` is the profile's; without one the first rows are the reference."""
        self.profile_digest = digest
        known = profile.features if profile is not None else {}
        self._trained = {name: each for name, each in known.items() if each.count >= LEAST_COUNT}
        self._first: dict[str, Reference] = {}
        self._golden: dict[str, FeatureCounts] = {}
        """Of features that have no reference yet."""
        self._blocks: deque[_Block] = deque(maxlen=_BLOCKS)

    def add(self, counts: InputCounts, now_s: float) -> None:
        """Count what a replica has counted."""
        if not self._blocks or self._blocks[-1].rows >= _BLOCK:
            self._blocks.append(_Block(now_s))
        block = self._blocks[-1]
        block.rows += counts.rows
        for name, each in counts.features.items():
            reference = self._trained.get(name) or self._first.get(name)
            if reference is None:
                self._add_golden(name, each)
                continue
            placed = reference.bins.place(each)
            before = block.features.get(name)
            block.features[name] = placed if before is None else np.add(before, placed).tolist()

    def findings(self, now_s: float) -> list[Finding]:
        """Every feature compared with its reference, in the order of the training data, then of their arrival."""
        latest = [block for block in self._blocks if block.begun_s > now_s - LATEST_S]
        since_s = latest[0].begun_s if latest else now_s
        among = max(1, len(self._trained) + len(self._first))
        found = [_waiting(name, counts, since_s) for name, counts in self._golden.items()]
        for source, references in ((Source.TRAINING, self._trained), (Source.FIRST, self._first)):
            for name, reference in references.items():
                placed = [block.features[name] for block in latest if name in block.features]
                counts = np.sum(placed, axis=0).tolist() if placed else [0] * len(reference.bins)
                found.append(_compared(name, reference, counts, since_s, source, among))
        return found

    def _add_golden(self, name: str, counts: FeatureCounts) -> None:
        before = self._golden.get(name)
        if before is None and len(self._trained) + len(self._first) + len(self._golden) >= MAX_FEATURES:
            return
        together = counts if before is None else before + counts
        if together.count < GOLDEN_ROWS:
            self._golden[name] = together
            return
        self._golden.pop(name, None)
        self._first[name] = Reference.of(together)

    def as_json(self) -> dict[str, Any]:
        """All of it, as what `json` can write."""
        return {
            "profile": self.profile_digest,
            "trained": _documents(self._trained),
            "first": _documents(self._first),
            "golden": {name: _golden_json(each) for name, each in self._golden.items()},
            "blocks": [[block.begun_s, block.rows, block.features] for block in self._blocks],
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> InputTally:
        """The tally that `as_json` wrote. Raises InvalidInput, KeyError, TypeError or ValueError for anything else."""
        tally = cls(digest=str(known["profile"]))
        tally._trained = _references(known["trained"])
        tally._first = _references(known["first"])
        tally._golden = {str(name): _golden(each) for name, each in known["golden"].items()}
        for begun_s, rows, features in known["blocks"]:
            placed = {str(name): [int(count) for count in counts] for name, counts in features.items()}
            tally._blocks.append(_Block(float(begun_s), int(rows), placed))
        return tally


def _compared(
    name: str, reference: Reference, counts: list[int], since_s: float, source: Source, among: int
) -> Finding:
    compared = compare(reference.counts, counts, ordered=reference.bins.kind == "number", among=among)
    before, now = max(sum(reference.counts), 1), max(sum(counts), 1)
    bins = [
        (label, a / before, b / now)
        for label, a, b in zip(reference.bins.labels(), reference.counts, counts, strict=True)
    ]
    shares = sorted(bins, key=lambda share: -abs(share[1] - share[2]))
    return Finding(name, compared, since_s, shares[:MOST_SHARES], bins, source)


def _waiting(name: str, counts: FeatureCounts, since_s: float) -> Finding:
    return Finding(name, compare([counts.count], [0], ordered=False), since_s, (), (), Source.FIRST)


def _documents(references: Mapping[str, Reference]) -> dict[str, Any]:
    return {name: reference.document() for name, reference in references.items()}


def _references(documents: Mapping[str, Any]) -> dict[str, Reference]:
    return {str(name): Reference.from_document(each, field=name) for name, each in documents.items()}


def _golden_json(counts: FeatureCounts) -> list[Any]:
    return [counts.kind, list((counts.numbers or counts.categories).items()), counts.missing]


def _golden(known: Any) -> FeatureCounts:
    kind, values, missing = known
    counts = FeatureCounts("category" if kind == "category" else "number", missing=int(missing))
    if counts.kind == "category":
        counts.categories.update({str(name): int(count) for name, count in values})
    else:
        counts.numbers.update({float(number): int(count) for number, count in values})
    return counts
