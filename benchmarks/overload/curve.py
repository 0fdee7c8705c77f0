"""What samples of calls mean: the peak, a point of the curve, and when all was well again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.overload.generator import Sample

IN_TIME_S = 1.0
"""An answer later than this is worth nothing to its caller."""
_NEARLY = 0.97
_WARM_UP = 0.2
"""The part of a closed loop that is not counted."""
_BUCKET_S = 0.5
_WELL = 0.95
_STEADY_BUCKETS = 3
_OK, _CANCELLED, _RESOURCE_EXHAUSTED, _UNAVAILABLE = 0, 1, 8, 14
_REFUSALS = frozenset({_RESOURCE_EXHAUSTED, _UNAVAILABLE})
"""Lepton says RESOURCE_EXHAUSTED; Envoy's 503 is UNAVAILABLE to gRPC."""


@dataclass(frozen=True)
class Point:
    """What the callers of one stretch of load saw."""

    per_s: float
    """Calls made."""
    goodput_per_s: float
    """Answers in time."""
    p50_ms: float
    """Of the answers, late ones included."""
    p99_ms: float
    refused: float
    """Share of the calls."""
    refusal_p99_ms: float
    """NaN without refusals."""
    failed: float
    """Share of the calls that were neither answered nor refused."""
    late_p99_ms: float
    """What the generator was behind."""

    @classmethod
    def of_closed_loop(cls, samples: Sequence[Sample], seconds: float) -> Point:
        """The point of callers that waited for their answers, from those that came within the time."""
        begin_s = _WARM_UP * seconds
        return cls.of([each for each in samples if begin_s <= each.due_s + each.took_s < seconds], seconds - begin_s)

    @classmethod
    def of(cls, samples: Sequence[Sample], seconds: float) -> Point:
        """The point of these calls, all made within so many seconds."""
        answered = [each.took_s for each in samples if each.code == _OK]
        refused = [each.took_s for each in samples if each.code in _REFUSALS]
        count = max(1, len(samples))
        return cls(
            per_s=len(samples) / seconds,
            goodput_per_s=sum(took_s <= IN_TIME_S for took_s in answered) / seconds,
            p50_ms=quantile(answered, 0.5) * 1e3,
            p99_ms=quantile(answered, 0.99) * 1e3,
            refused=len(refused) / count,
            refusal_p99_ms=quantile(refused, 0.99) * 1e3,
            failed=(len(samples) - len(answered) - len(refused)) / count,
            late_p99_ms=quantile([each.late_s for each in samples], 0.99) * 1e3,
        )


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share stays below; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def peak(points: Sequence[Point]) -> Point:
    """Of closed loops with more and more callers, the first one that answers nearly as much as any: beyond it, callers
    only wait for each other."""
    best = max(point.goodput_per_s for point in points)
    return next(point for point in points if point.goodput_per_s >= _NEARLY * best)


def recovery_s(samples: Sequence[Sample], over_s: float, tolerable_s: float) -> float:
    """How long after `over_s`, the end of an overload, callers were served well again: of the calls made in half a
    second nearly all were answered within `tolerable_s`, and so on for three half seconds. Infinite if they were not.
    """
    after = [each for each in samples if each.due_s >= over_s]
    buckets = int((max((each.due_s for each in after), default=over_s) - over_s) / _BUCKET_S)
    well = 0
    for bucket in range(buckets):
        begin_s = over_s + bucket * _BUCKET_S
        calls = [each for each in after if begin_s <= each.due_s < begin_s + _BUCKET_S]
        good = sum(each.code == _OK and each.took_s <= tolerable_s for each in calls)
        well = well + 1 if good >= _WELL * len(calls) else 0
        if well == _STEADY_BUCKETS:
            return (bucket + 1 - _STEADY_BUCKETS) * _BUCKET_S
    return math.inf
