"""Range vectors: which samples each step sees, and sums over them for all series and steps at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.health.promql.values import Batch, Flags, Floats, Integers, Windows

_CHUNK = 2_000_000
"""Samples that are spread out at once, where windows overlap: 50 MB."""


@dataclass(frozen=True)
class Spans:
    """The windows of all series and steps that hold enough samples, in one row."""

    times_ms: Integers
    values: Floats
    first: Integers
    """[windows]."""
    end: Integers
    """[windows]."""
    steps_ms: Integers
    """[windows]: when it is evaluated."""
    ends_ms: Integers
    """[windows]."""
    range_ms: int

    @property
    def lengths(self) -> Integers:
        """[windows], samples."""
        return self.end - self.first

    def at_first(self) -> Floats:
        """[windows], the oldest value of each."""
        return np.asarray(self.values[self.first], dtype=np.float64)

    def at_last(self) -> Floats:
        """[windows], the newest value of each."""
        return np.asarray(self.values[self.end - 1], dtype=np.float64)

    def reduced(self, function: np.ufunc, values: NDArray[np.generic], *, skip: int = 0) -> Floats:
        """[windows], the values of each window folded, but for its first `skip`."""
        padded = np.append(values, values[:1])
        bounds = np.stack([self.first + skip, self.end], axis=1).ravel()
        return np.asarray(function.reduceat(padded, bounds)[::2], dtype=np.float64)

    def chunks(self) -> Iterator[Spans]:
        """Groups of windows that are small enough to be spread out."""
        groups = np.cumsum(self.lengths) // _CHUNK
        edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(self.first)]
        for begin, end in pairwise(edges):
            part = slice(int(begin), int(end))
            yield replace(
                self,
                first=self.first[part],
                end=self.end[part],
                steps_ms=self.steps_ms[part],
                ends_ms=self.ends_ms[part],
            )

    def spread(self) -> tuple[Integers, Integers]:
        """The samples of all windows one after the other: index of each sample, and of the window that it is in."""
        lengths = self.lengths
        owners = np.repeat(np.arange(len(lengths)), lengths)
        return np.arange(len(owners)) + np.repeat(self.first - self.starts(), lengths), owners

    def starts(self) -> Integers:
        """[windows]: where each begins in what `spread` returns."""
        return np.cumsum(self.lengths) - self.lengths


def open_windows(batch: Batch, steps_ms: Integers, ends_ms: Integers, range_ms: int) -> Windows:
    """The windows end - range < time ≤ end of each step."""
    return Windows(
        labels=batch.labels,
        times_ms=batch.times_ms,
        values=batch.values,
        first=batch.ends_at(ends_ms - range_ms),
        end=batch.ends_at(ends_ms),
        steps_ms=steps_ms,
        ends_ms=ends_ms,
        range_ms=range_ms,
    )


def fold(
    windows: Windows, function: Callable[..., Floats], *, samples: int, parameters: Sequence[Floats] = ()
) -> tuple[Floats, Flags]:
    """[series, steps]: the function of every window with at least that many samples, and which have them.

    The function gets the windows and, of each parameter [steps], the number for each window.
    """
    present = windows.end - windows.first >= samples
    values = np.zeros(present.shape)
    _, steps = np.nonzero(present)
    if len(steps):
        spans = Spans(
            times_ms=windows.times_ms,
            values=windows.values,
            first=windows.first[present],
            end=windows.end[present],
            steps_ms=windows.steps_ms[steps],
            ends_ms=windows.ends_ms[steps],
            range_ms=windows.range_ms,
        )
        values[present] = function(spans, *(each[steps] for each in parameters))
    return values, present
