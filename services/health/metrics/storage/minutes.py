"""One number a minute: what is kept of measurements for weeks.

Of counters the last value in the minute, so that rates stay right; of all other series the mean, and the largest as a
series of its own whose name ends in `:max`, where that differs. Each sample has the time of the minute's last look.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import NAME, STALE
from services.health.metrics.storage.chunk import Chunk, pack
from services.health.metrics.storage.columns import Column, Columns, Pairs
from services.health.metrics.storage.segment import Track

_MINUTE_S = 60.0
MAX = ":max"
"""What the name of the series with the largest values ends in."""


def by_minute(track: Track) -> tuple[Columns, Chunk]:
    """The track, of which all rows are packed, at one row a minute."""
    places = range(len(track.columns))
    times_s = np.concatenate([chunk.times_s for chunk in track.chunks])
    values = np.concatenate([chunk.read(places) for chunk in track.chunks], axis=1)
    minutes = np.floor(times_s / _MINUTE_S)
    starts = np.flatnonzero(np.diff(minutes, prepend=np.nan) != 0)
    last = np.append(starts[1:], len(times_s)) - 1
    is_counter = np.array([column.is_counter for column in track.columns.columns], bool)
    means, largest = _mean_and_max(values[~is_counter], starts)
    kept = np.empty((len(values), len(starts)))
    kept[is_counter] = values[is_counter][:, last]
    kept[~is_counter] = means
    columns = Columns(track.columns.common)
    for column in track.columns.columns:
        columns.add(column)
    gauges = [column for column in track.columns.columns if not column.is_counter]
    differ = np.flatnonzero((largest > means).any(axis=1))
    for index in differ:
        columns.add(Column(_named_max(gauges[index].pairs), is_counter=False))
    return columns, pack(times_s[last], np.concatenate([kept, largest[differ]]).T)


def _mean_and_max(
    values: NDArray[np.float64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[series, minutes] each; STALE where a minute has no number."""
    if not len(values):
        empty = np.empty((0, len(starts)))
        return empty, empty
    there = ~np.isnan(values)
    counts = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        means = np.add.reduceat(np.where(there, values, 0.0), starts, axis=1) / counts
    largest = np.fmax.reduceat(values, starts, axis=1)
    means[counts == 0] = STALE
    largest[counts == 0] = STALE
    return means, largest


def _named_max(pairs: Pairs) -> Pairs:
    return tuple((name, value + MAX if name == NAME else value) for name, value in pairs)
