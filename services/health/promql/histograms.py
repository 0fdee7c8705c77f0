"""`histogram_quantile` of classic histograms: counters per bucket, cumulative, with the bound in the label `le`."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from services.health.metrics.series import NAME
from services.health.promql.range_functions import outside_of_unit
from services.health.promql.values import Flags, Floats, Integers, Labels, Vector, identity, merged, without

BOUND = "le"


def quantile(shares: Floats, vector: Vector) -> Vector:
    """The quantile of each histogram: linear within a bucket, the highest finite bound where it lies above that."""
    groups: defaultdict[tuple[tuple[str, str], ...], list[tuple[float, int]]] = defaultdict(list)
    for row, labels in enumerate(vector.labels):
        bound = _bound(labels)
        if bound is not None:
            groups[identity(without(labels, (BOUND,)))].append((bound, row))
    if not groups:
        return Vector.empty(len(shares))
    rows = [_of_group(shares, vector, sorted(buckets)) for buckets in groups.values()]
    kept = [without(dict(key), (NAME,)) for key in groups]
    return merged(Vector(kept, np.array([values for values, _ in rows]), np.array([there for _, there in rows])))


def _bound(labels: Labels) -> float | None:
    try:
        return float(labels[BOUND])
    except (KeyError, ValueError):  # a series without a readable bound is no bucket
        return None


def _of_group(shares: Floats, vector: Vector, buckets: list[tuple[float, int]]) -> tuple[Floats, Flags]:
    bounds, rows = np.array([bound for bound, _ in buckets]), np.array([row for _, row in buckets])
    present = vector.present[rows]
    values = np.full(len(shares), np.nan)
    patterns, kinds = np.unique(present, axis=1, return_inverse=True)
    for kind, pattern in enumerate(patterns.T):  # steps at which the same buckets are there
        steps = np.flatnonzero(kinds.ravel() == kind)
        if pattern.any():
            values[steps] = _quantile(shares[steps], bounds[pattern], vector.values[np.ix_(rows[pattern], steps)])
    return outside_of_unit(shares, values), present.any(axis=0)


def _quantile(shares: Floats, bounds: Floats, counts: Floats) -> Floats:
    """[steps], of counts [buckets, steps]; NaN without an infinite bucket or without observations."""
    bounds, places = np.unique(bounds, return_index=True)
    counts = np.fmax.accumulate(np.add.reduceat(counts, places, axis=0), axis=0)
    if not np.isposinf(bounds[-1]) or len(bounds) < 2:
        return np.full(len(shares), np.nan)
    steps = np.arange(len(shares))
    rank = np.clip(np.nan_to_num(shares), 0.0, 1.0) * counts[-1]
    bucket: Integers = np.count_nonzero(counts[:-1] < rank, axis=0)  # the first one that reaches the rank
    below = np.where(bucket > 0, counts[bucket - 1, steps], 0.0)
    start = np.where(bucket > 0, bounds[bucket - 1], 0.0)
    inside = start + (bounds[bucket] - start) * ((rank - below) / (counts[bucket, steps] - below))
    inside = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], inside)
    inside = np.where(bucket == len(bounds) - 1, bounds[-2], inside)
    return np.where(counts[-1] == 0, np.nan, inside)
