"""Non-inferiority: bounds on how much worse a candidate may be, and how many answers a narrower bound would need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

CONFIDENT = 1.6449
"""One-sided 95 %."""
_MOST_TIMES = 4096.0


def wilson(events: float, total: float) -> tuple[float, float]:
    """The interval of a share, each side with 95 %."""
    share, spread = events / total, CONFIDENT**2 / total
    centre = share + spread / 2
    half = math.sqrt(max(share * (1 - share) * spread + spread * spread / 4, 0.0))
    return max((centre - half) / (1 + spread), 0.0), min((centre + half) / (1 + spread), 1.0)


def difference_bound(ours: float, our_total: float, theirs: float, their_total: float) -> float:
    """At most so much greater is our share of events than theirs (Newcombe's hybrid score interval)."""
    p, q = ours / our_total, theirs / their_total
    upper, lower = wilson(ours, our_total)[1], wilson(theirs, their_total)[0]
    return p - q + math.hypot(upper - p, q - lower)


def variation(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Total variation of two distributions: the share of answers that would have to change."""
    n, m = math.fsum(ours), math.fsum(theirs)
    return math.fsum(abs(x / n - y / m) for x, y in zip(ours, theirs, strict=True)) / 2


def variation_by_chance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The total variation that equal distributions show on average in samples of these sizes."""
    n, m = math.fsum(ours), math.fsum(theirs)
    shares = [(x + y) / (n + m) for x, y in zip(ours, theirs, strict=True)]
    return math.fsum(math.sqrt(2 / math.pi * share * (1 - share) * (1 / n + 1 / m)) for share in shares) / 2


def variation_slack(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How much greater than it is estimated the total variation may be; it falls with the root of the answers.

    A sample's total variation deviates from its mean by half of the root of 1/n + 1/m; half of what chance adds on
    average is for the error in taking that away.
    """
    n, m = math.fsum(ours), math.fsum(theirs)
    return CONFIDENT * math.sqrt(1 / n + 1 / m) / 2 + variation_by_chance(ours, theirs) / 2


def missing(holds: Callable[[float], bool], answers: int) -> int | None:
    """How many more answers would do if all shares stayed as they are; None if no number would."""
    if not answers:
        return None
    times = 1.0
    while not holds(times):
        times *= 1.15
        if times > _MOST_TIMES:
            return None
    return max(math.ceil(answers * (times - 1)), 1)
