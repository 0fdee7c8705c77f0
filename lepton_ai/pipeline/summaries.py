"""What is kept of a stream of values: mean and deviation, range, median, counts. One pass, bounded memory."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK = 65_536
_EXACT_MEDIAN_VALUES = 65_536
_MEDIAN_ACCURACY = 0.001
_MAX_DISTINCT = 1_000_000


class Moments:
    """Mean and standard deviation (of the population) by Welford's method, for one series or one for each channel.

    Source: B. P. Welford, Technometrics 4(3), 1962; whole blocks by the pairwise update of T. F. Chan, G. H. Golub and
    R. J. LeVeque, 1979.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, value: float) -> None:
        """One value of a single series."""
        self.count += 1
        delta = value - self._mean
        self._mean += delta / self.count
        self._squares += delta * (value - self._mean)

    def add_rows(self, rows: npt.NDArray[Any]) -> None:
        """Values of all channels at once: (values, channels)."""
        for begin in range(0, len(rows), _BLOCK):
            with np.errstate(over="ignore", invalid="ignore"):  # the mean is then not finite, which callers check
                self._add_block(rows[begin : begin + _BLOCK].astype(np.float64))

    def _add_block(self, block: npt.NDArray[np.float64]) -> None:
        mean = block.mean(axis=0)
        squares = np.square(block - mean).sum(axis=0)
        total = self.count + len(block)
        delta = mean - self._mean
        self._mean = self._mean + delta * (len(block) / total)
        self._squares = self._squares + squares + np.square(delta) * (self.count * len(block) / total)
        self.count = total

    @property
    def mean(self) -> Any:
        """A float, or an array with one for each channel."""
        return self._mean

    @property
    def std(self) -> Any:
        """Likewise; 0 when all values are the same."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(self._squares / max(1, self.count))


class Range:
    """Least and greatest value."""

    def __init__(self) -> None:
        self.count = 0
        self.min = math.inf
        self.max = -math.inf

    def add(self, value: float) -> None:
        """One value."""
        self.count += 1
        self.min, self.max = min(self.min, value), max(self.max, value)


class Median:
    """The median, exact for up to 65,536 values; beyond that within 0.1 % of the value that it is.

    Exactly: the mean of the middle two. Beyond: values counted in buckets whose borders grow by a constant factor, the
    middle bucket's centre (C. Masson, J. E. Rim and H. K. Lee, "DDSketch", PVLDB 12(12), 2019).
    """

    def __init__(self, *, exact_values: int = _EXACT_MEDIAN_VALUES) -> None:
        self.count = 0
        self._exact_values = exact_values
        self._values = array("d")
        self._buckets: Counter[tuple[int, int]] = Counter()

    def add(self, value: float) -> None:
        """One finite value."""
        self.count += 1
        self._values.append(value)
        if len(self._values) > self._exact_values:
            self._buckets.update(_bucket(each) for each in self._values)
            self._values = array("d")
            self._exact_values = min(self._exact_values, 4096)  # from now on only what waits to be counted

    @property
    def value(self) -> float:
        """The median of what was added, at least one value."""
        if not self._buckets:
            ordered = sorted(self._values)
            low, high = ordered[(self.count - 1) // 2], ordered[self.count // 2]
            return low + (high - low) / 2 if math.isfinite(high - low) else low / 2 + high / 2
        buckets = self._buckets + Counter(_bucket(each) for each in self._values)
        below = 0
        for bucket in sorted(buckets):
            below += buckets[bucket]
            if below * 2 >= self.count:
                return _center(bucket)
        raise AssertionError("counts do not add up")


_GROWTH = math.log1p(2 * _MEDIAN_ACCURACY / (1 - _MEDIAN_ACCURACY))


def _bucket(value: float) -> tuple[int, int]:
    """Sign and signed index, so that buckets sort as their values do."""
    if value == 0:
        return 0, 0
    index = math.ceil(math.log(abs(value)) / _GROWTH)
    return (1, index) if value > 0 else (-1, -index)


def _center(bucket: tuple[int, int]) -> float:
    sign, index = bucket
    if sign == 0:
        return 0.0
    logarithm = index * sign * _GROWTH + math.log(2 / (1 + math.exp(_GROWTH)))
    return sign * math.exp(min(logarithm, math.log(1.7e308)))


class Counts:
    """How often each text or number occurs; exact while at most a million are distinct.

    When there are more, those seen least often are forgotten, as many as make half the room free, so that counts may be
    too low by what was forgotten (lossy counting, G. S. Manku and R. Motwani, VLDB 2002).
    """

    def __init__(self, *, max_distinct: int = _MAX_DISTINCT) -> None:
        self.count = 0
        self._max_distinct = max_distinct
        self._counts: Counter[Any] = Counter()

    def add(self, value: Any) -> None:
        """One occurrence."""
        self.count += 1
        self._counts[value] += 1
        if len(self._counts) > self._max_distinct:
            self._forget()

    def most_common(self, *, min_count: int = 1) -> list[Any]:
        """Values that occur at least so often: by count, most first, then in their own order."""
        kept = [(-count, value) for value, count in self._counts.items() if count >= min_count]
        return [value for _, value in sorted(kept)]

    @property
    def counts(self) -> Mapping[Any, int]:
        """Occurrences by value."""
        return self._counts

    def _forget(self) -> None:
        keep = self._max_distinct // 2
        least = sorted(self._counts.values(), reverse=True)[keep]
        self._counts = Counter({value: count for value, count in self._counts.items() if count > least})
