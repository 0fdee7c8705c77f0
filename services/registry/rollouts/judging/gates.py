"""What is judged, and how much worse is still good enough."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Measure(Enum):
    """What a gate looks at."""

    ERRORS = "errors"
    LATENCY = "latency"
    LABELS = "labels"
    SCORES = "scores"
    DISTANCE = "distance"
    DISAGREEMENT = "disagreement"
    FEEDBACK = "feedback"


@dataclass(frozen=True)
class Gate:
    """One condition that a candidate has to meet."""

    name: str
    measure: Measure
    margin: float
    """So much worse is still good enough. Errors, feedback: a difference of shares. Latency: a share of
    the baseline's. Labels, scores: total variation, the share of answers that would have to change. Distance,
    disagreement: the greatest share of answers that may be too far off, or have another label."""
    negligible: float
    """So much worse is never harm, however sure it is; in the units of `margin`."""
    min_samples: int
    """Answers of the candidate in a step without which it is never called good enough."""
    critical: bool = True
    """Whether its harm rolls back; else it holds the rollout."""
    weight: float = 1.0
    """Its part of the false alarms that are allowed in all."""
    quantile: float = 0.0
    """Of latency."""
    negligible_s: float = 0.001
    """Of latency: so many seconds more are never harm, and good enough, whatever share of the baseline's they are."""
    tolerance: float = 0.0
    """Of distance: what is too far off."""
    ignored_codes: tuple[str, ...] = ("CANCELLED",)
    """Errors that no version is to blame for: callers that left."""
    required: bool = False
    """Without any data the gate says nothing; a required one holds the rollout."""


DEFAULT_GATES = (
    Gate("errors", Measure.ERRORS, 0.01, 0.002, min_samples=200, weight=9.0, required=True),
    Gate("latency p50", Measure.LATENCY, 0.10, 0.05, min_samples=200, quantile=0.50, required=True),
    Gate("latency p95", Measure.LATENCY, 0.20, 0.10, min_samples=200, quantile=0.95, required=True),
    Gate("latency p99", Measure.LATENCY, 0.40, 0.15, min_samples=500, quantile=0.99, required=True),
    Gate("labels", Measure.LABELS, 0.10, 0.03, min_samples=500),
    Gate("scores", Measure.SCORES, 0.10, 0.05, min_samples=500),
    Gate("feedback", Measure.FEEDBACK, 0.05, 0.02, min_samples=50),
)
"""For a candidate that answers callers."""
SHADOW_GATES = (
    *(gate for gate in DEFAULT_GATES if gate.measure not in (Measure.FEEDBACK, Measure.LATENCY)),
    Gate("distance", Measure.DISTANCE, 0.05, 0.05, min_samples=200, tolerance=0.1, critical=False),
    Gate("disagreement", Measure.DISAGREEMENT, 0.10, 0.10, min_samples=200, critical=False),
)
"""For one whose answers are compared with those that are returned. It works when callers leave it room, so its latency
tells nothing; and another answer may be a better one, so that it holds the rollout for people to look at."""
