"""All that is counted of one arm of a rollout: one version of one model with one role, over any time and replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lepton_ai.counts.bins import ScoreBins
from lepton_ai.counts.labels import LabelCounts
from lepton_ai.counts.sketch import Sketch


@dataclass
class ArmCounts:
    """Counts since a replica began, or of an interval: the difference of two."""

    answers: int = 0
    """Requests that have been answered, with an error or without."""
    errors: Counter[str] = field(default_factory=Counter)
    """Status code → answers that were this error."""
    latency_s: Sketch = field(default_factory=Sketch)
    """Of answers without an error."""
    labels: LabelCounts = field(default_factory=LabelCounts)
    scores: ScoreBins = field(default_factory=ScoreBins)
    distances: Sketch = field(default_factory=Sketch)
    """Of shadows: how far its answers are from those that were returned."""
    compared: int = 0
    """Of shadows: answers whose label was compared with the one that was returned."""
    disagreeing: int = 0
    """Of shadows: those of `compared` with another label."""
    good: int = 0
    """Feedback that an answer was right."""
    bad: int = 0

    def failed(self, *, apart_from: tuple[str, ...] = ()) -> int:
        """Answers that were errors, of other codes than these."""
        return sum(count for code, count in self.errors.items() if code not in apart_from)

    def halved(self) -> ArmCounts:
        """Half of everything, rounded down: how old answers are forgotten."""
        return ArmCounts(
            self.answers // 2,
            Counter({code: count // 2 for code, count in self.errors.items() if count > 1}),
            self.latency_s.halved(),
            self.labels.halved(),
            self.scores.halved(),
            self.distances.halved(),
            self.compared // 2,
            self.disagreeing // 2,
            self.good // 2,
            self.bad // 2,
        )

    def __add__(self, other: ArmCounts) -> ArmCounts:
        """Both together: replicas, arms or intervals."""
        return ArmCounts(
            self.answers + other.answers,
            self.errors + other.errors,
            self.latency_s + other.latency_s,
            self.labels + other.labels,
            self.scores + other.scores,
            self.distances + other.distances,
            self.compared + other.compared,
            self.disagreeing + other.disagreeing,
            self.good + other.good,
            self.bad + other.bad,
        )

    def __sub__(self, earlier: ArmCounts) -> ArmCounts:
        """What came since an earlier state of the same counts; never less than nothing."""
        return ArmCounts(
            max(self.answers - earlier.answers, 0),
            self.errors - earlier.errors,
            self.latency_s - earlier.latency_s,
            self.labels - earlier.labels,
            self.scores - earlier.scores,
            self.distances - earlier.distances,
            max(self.compared - earlier.compared, 0),
            max(self.disagreeing - earlier.disagreeing, 0),
            max(self.good - earlier.good, 0),
            max(self.bad - earlier.bad, 0),
        )

    def as_json(self) -> dict[str, Any]:
        """The counts as what `json` can write."""
        return {
            "answers": self.answers,
            "errors": dict(self.errors),
            "latency_s": _by_text(self.latency_s.buckets),
            "labels": [dict(self.labels.by_label), self.labels.rest],
            "scores": self.scores.bins,
            "distances": _by_text(self.distances.buckets),
            "numbers": [self.compared, self.disagreeing, self.good, self.bad],
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> ArmCounts:
        """The counts that `as_json` wrote."""
        return cls(
            known["answers"],
            Counter(known["errors"]),
            _by_bucket(known["latency_s"]),
            LabelCounts(*known["labels"]),
            ScoreBins(known["scores"]),
            _by_bucket(known["distances"]),
            *known["numbers"],
        )


def _by_text(buckets: Mapping[int, int]) -> dict[str, int]:
    return {str(bucket): count for bucket, count in buckets.items()}


def _by_bucket(buckets: Mapping[str, int]) -> Sketch:
    return Sketch({int(bucket): count for bucket, count in buckets.items()})
