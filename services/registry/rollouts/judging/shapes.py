"""Gates on the distribution of answers: labels and scores, against the baseline's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lepton_ai.counts import ArmCounts
from services.registry.rollouts.judging import bounds
from services.registry.rollouts.judging.dispersion import Dispersion
from services.registry.rollouts.judging.evidence import Mixture, shape_gain
from services.registry.rollouts.judging.gates import Gate, Measure
from services.registry.rollouts.judging.watch import Arms, Watch, percent

_STRENGTHS = (20.0, 100.0, 500.0)
_MEMORIES = (1.0, 0.9)
"""What is left of the past after an interval: of a constant difference all is remembered, of a new one the newest."""
_NAMED_LABELS = 11
_ENOUGH_TO_NAME = 50


class ShapeWatch(Watch):
    """The distribution of labels or scores."""

    def __init__(self, gate: Gate, candidate: str) -> None:
        bets = len(_STRENGTHS) * len(_MEMORIES)
        super().__init__(gate, candidate, Mixture([1.0] * bets), Dispersion(4.0, 10.0))
        self._names: list[str] = []
        """The labels that are looked at one by one; chosen once, so that they depend on nothing that is judged."""
        self._pasts: list[tuple[list[float], list[float]]] = []

    def look(self, interval: Arms, recent: Arms) -> None:
        """What the past of both arms says of this interval, against what it says of them together."""
        if self.gate.measure is Measure.LABELS and not self._names:
            self._choose(recent)
            return
        ours, theirs, rest = (self._vector(arm) for arm in (interval.candidate, interval.baseline, interval.rest))
        if not self._pasts:
            self._pasts = [([0.0] * len(ours), [0.0] * len(ours)) for _ in _MEMORIES]
        gains = [shape_gain(ours, theirs, *past, strength) for past in self._pasts for strength in _STRENGTHS]
        self._mixture.add(gains, dispersion=self._dispersion.value)
        self._dispersion.note(ours, theirs, rest, (sum(ours), sum(theirs), sum(rest)))
        self._pasts = [
            (_with(past[0], ours, memory), _with(past[1], theirs, memory))
            for past, memory in zip(self._pasts, _MEMORIES, strict=True)
        ]

    def samples(self, arms: Arms) -> tuple[int, int]:
        """Answers that have a label or score."""
        return self._count(arms.candidate), self._count(arms.baseline)

    def excess(self, arms: Arms) -> float:
        """The total variation, less what chance adds."""
        ours, theirs = self._vector(arms.candidate), self._vector(arms.baseline)
        if not sum(ours) or not sum(theirs):
            return 0.0
        return max(bounds.variation(ours, theirs) - bounds.variation_by_chance(ours, theirs), 0.0)

    def proof(self, arms: Arms) -> Callable[[float], bool]:
        """The upper bound of the total variation is within the margin."""
        ours, theirs, excess = self._vector(arms.candidate), self._vector(arms.baseline), self.excess(arms)
        bound = bounds.variation_slack(ours, theirs)
        return lambda times: excess + bound / math.sqrt(times) <= self.gate.margin

    def describe(self, arms: Arms) -> str:
        """What has changed most."""
        ours, theirs = self._vector(arms.candidate), self._vector(arms.baseline)
        our_total, their_total = max(sum(ours), 1), max(sum(theirs), 1)
        most = max(range(len(ours)), key=lambda index: abs(ours[index] / our_total - theirs[index] / their_total))
        ours_say = f"{percent(ours[most] / our_total)} of {our_total:,} answers of {self._candidate}"
        theirs_say = f"{percent(theirs[most] / their_total)} of {their_total:,} of the baseline"
        changed = f"{self.gate.name} differ in about {percent(self.excess(arms))} of the answers"
        return f"{ours_say} {self._category(most)}, {theirs_say}; {changed}"

    def _choose(self, recent: Arms) -> None:
        both = recent.candidate.labels + recent.baseline.labels
        if both.count >= _ENOUGH_TO_NAME:
            ordered = sorted(both.by_label.items(), key=lambda each: (-each[1], each[0]))
            self._names = [label for label, _ in ordered[:_NAMED_LABELS]]

    def _vector(self, counts: ArmCounts) -> list[int]:
        if self.gate.measure is Measure.SCORES:
            return counts.scores.bins
        named = [counts.labels.by_label[label] for label in self._names]
        return [*named, counts.labels.count - sum(named)]

    def _count(self, counts: ArmCounts) -> int:
        return counts.scores.count if self.gate.measure is Measure.SCORES else counts.labels.count

    def _category(self, index: int) -> str:
        if self.gate.measure is Measure.LABELS:
            return f'are "{self._names[index]}"' if index < len(self._names) else "have other labels"
        width = 1 / len(ArmCounts().scores.bins)
        return f"have scores from {width * index:.2f} to {width * (index + 1):.2f}"

    def as_json(self) -> dict[str, Any]:
        """All that the future depends on."""
        return super().as_json() | {"names": self._names, "pasts": [list(past) for past in self._pasts]}

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on where `as_json` was."""
        super().restore(known)
        self._names = list(known["names"])
        self._pasts = [(list(ours), list(theirs)) for ours, theirs in known["pasts"]]


def _with(past: Sequence[float], new: Sequence[int], memory: float) -> list[float]:
    return [memory * a + b for a, b in zip(past, new, strict=True)]
