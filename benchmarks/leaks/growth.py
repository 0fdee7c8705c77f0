"""How much a process grows with the requests that are made: a robust line through samples of its memory."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PER_REQUESTS = 100_000
ALLOWED_MB = 1.0
"""Growth for so many requests that is no leak: allocators are never quite at rest."""
_MOST_SAMPLES = 400


@dataclass(frozen=True)
class Reading:
    """The memory of one process at one moment."""

    requests: int
    """Made so far."""
    rss_mb: float


def growth_mb(readings: Sequence[Reading]) -> float:
    """MB for 100,000 requests in the second half of them, when caches are filled and pools have their size.

    The median of the slopes between all pairs of samples (Theil, 1950; Sen, 1968): a third of the samples may be as far
    off as they like, so neither a garbage collection nor one buffer that was allocated late makes a leak, nor hides it.
    Raises ValueError with fewer than three samples in the second half.
    """
    half = (readings[0].requests + readings[-1].requests) / 2 if readings else 0
    later = [each for each in readings if each.requests >= half]
    if len(later) < 3:
        raise ValueError("Too few samples of the second half.")
    thinned = later[:: -(-len(later) // _MOST_SAMPLES)]
    slopes = [
        (last.rss_mb - first.rss_mb) / (last.requests - first.requests)
        for index, first in enumerate(thinned)
        for last in thinned[index + 1 :]
        if last.requests > first.requests
    ]
    return statistics.median(slopes) * PER_REQUESTS


def leaks(readings: Sequence[Reading]) -> bool:
    """Whether it grows by more than is allowed."""
    return growth_mb(readings) > ALLOWED_MB
