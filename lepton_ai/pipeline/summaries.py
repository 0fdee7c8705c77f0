"""What is kept of a stream of values: mean and deviation, range, median, counts. One pass, bounded memory."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BLOCK = 65_536
_EXACT_MEDIAN_VALUES = 65_536
_MEDIAN_ACCURACY = 0.001
_MAX_DISTINCT = 1_000_000


class _Blocks(ABC):
    """Takes numbers one by one or many at a time and sums them up in blocks of one size.

    So what comes out depends, down to the last bit, on the numbers and their order alone, not on how many came at a
    time.
    """

    def __init__(self, block_values: int) -> None:
        self.count = 0
        self._block_values = block_values
        self._waiting = array("d")

    def add(self, value: float) -> None:
        """One finite value."""
        self.count += 1
        self._waiting.append(value)
        if len(self._waiting) > self._block_values:
            self._fold_first()

    def add_many(self, values: Floats) -> None:
        """Finite values, in order."""
        self.count += len(values)
        self._waiting.frombytes(values.tobytes())
        while len(self._waiting) > self._block_values:
            self._fold_first()

    def _fold_first(self) -> None:
        block = np.array(self._waiting[: self._block_values])
        del self._waiting[: self._block_values]
        self._fold(block)

    def _rest(self) -> Floats:
        return np.array(self._waiting)

    @abstractmethod
    def _fold(self, block: Floats) -> None:
        """Add a block to what is known."""


class Moments(_Blocks):
    """Mean and standard deviation (of the population) of a series.

    Source: blocks are put together by the pairwise update of T. F. Chan, G. H. Golub and R. J. LeVeque, 1979.
    """

    def __init__(self) -> None:
        super().__init__(_BLOCK)
        self._known = (0, 0.0, 0.0)

    @property
    def mean(self) -> float:
        """Of at least one value; not finite when they are too large."""
        return _joined(self._known, self._rest())[1]

    @property
    def std(self) -> float:
        """0 exactly when all values are the same."""
        count, _, squares = _joined(self._known, self._rest())
        return math.sqrt(squares / max(1, count))

    def _fold(self, block: Floats) -> None:
        self._known = _joined(self._known, block)


def _joined(known: tuple[int, float, float], block: Floats) -> tuple[int, float, float]:
    """Count, mean and sum of squared deviations, of what is known and a block together."""
    if not len(block):
        return known
    count, mean, squares = known
    with np.errstate(over="ignore", invalid="ignore"):  # callers check what comes out
        block_mean = np.float64(block.mean())
        if not np.isfinite(block_mean):
            block_mean = np.float64((block / len(block)).sum())
        if (block == block[0]).all():  # a rounded sum would let what never varies seem to vary
            block_mean = block[0]
        total = count + len(block)
        delta = block_mean - mean
        between = np.square(delta) * (count * len(block) / total) if count else 0.0
        squares += np.square(block - block_mean).sum() + between
        return total, float(mean + delta * (len(block) / total)), float(squares)


class ChannelMoments:
    """Mean and standard deviation (of the population) of each channel of arrays; the same update."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add_rows(self, rows: npt.NDArray[Any]) -> None:
        """Values of all channels at once: (values, channels)."""
        for begin in range(0, len(rows), _BLOCK):
            with np.errstate(over="ignore", invalid="ignore"):  # the mean is then not finite, which callers check
                self._add_block(rows[begin : begin + _BLOCK].astype(np.float64))

    def _add_block(self, block: Floats) -> None:
        mean = block.mean(axis=0)
        squares = np.square(block - mean).sum(axis=0)
        total = self.count + len(block)
        delta = mean - self._mean
        self._mean = self._mean + delta * (len(block) / total)
        self._squares = self._squares + squares + np.square(delta) * (self.count * len(block) / total)
        self.count = total

    @property
    def mean(self) -> Any:
        """An array with one for each channel."""
        return self._mean

    @property
    def std(self) -> Any:
        """Likewise."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(self._squares / max(1, self.count))


class Range:
    """Least and greatest value."""

    def __init__(self) -> None:
        self.min = math.inf
        self.max = -math.inf

    def add(self, value: float) -> None:
        """One value."""
        value += 0.0  # -0.0 and 0.0 are equal, so which of them came first would matter
        self.min, self.max = min(self.min, value), max(self.max, value)

    def add_many(self, values: Floats) -> None:
        """At least one value."""
        self.add(float(values.min()))
        self.add(float(values.max()))


class Median(_Blocks):
    """The median, exact for up to 65,536 values; beyond that within 0.1 % of the value that it is.

    Exactly: the mean of the middle two. Beyond: values counted in buckets whose borders grow by a constant factor, the
    middle bucket's centre (C. Masson, J. E. Rim and H. K. Lee, "DDSketch", PVLDB 12(12), 2019).
    """

    def __init__(self, *, exact_values: int = _EXACT_MEDIAN_VALUES) -> None:
        super().__init__(exact_values)
        self._buckets: Counter[int] = Counter()

    @property
    def value(self) -> float:
        """The median of what was added, at least one value."""
        if not self._buckets:
            ordered = np.sort(self._rest()).tolist()
            low, high = ordered[(self.count - 1) // 2], ordered[self.count // 2]
            return float(low + (high - low) / 2 if math.isfinite(high - low) else low / 2 + high / 2)
        buckets = self._buckets + _count_buckets(self._rest())
        below = 0
        for bucket in sorted(buckets):
            below += buckets[bucket]
            if below * 2 >= self.count:
                return _center(bucket)
        raise AssertionError("counts do not add up")

    def _fold(self, block: Floats) -> None:
        self._buckets.update(_count_buckets(block))


_GROWTH = math.log1p(2 * _MEDIAN_ACCURACY / (1 - _MEDIAN_ACCURACY))
_LARGEST = math.log(sys.float_info.max)
_ONE = 1 << 20
"""The bucket of 1.0: positive numbers are above 0, negative ones mirrored below, so that buckets sort as values do."""


def _count_buckets(values: Floats) -> Counter[int]:
    buckets = Counter({0: int((values == 0).sum())})
    for sign in (-1, 1):
        numbers = np.ceil(np.log(np.abs(values[values * sign > 0])) / _GROWTH).astype(np.int64) + _ONE
        if len(numbers):
            first = int(numbers.min())
            occurrences = np.bincount(numbers - first)
            found = np.flatnonzero(occurrences)
            buckets.update(dict(zip((sign * (found + first)).tolist(), occurrences[found].tolist(), strict=True)))
    return buckets


def _center(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    logarithm = (abs(bucket) - _ONE) * _GROWTH + math.log(2 / (1 + math.exp(_GROWTH)))
    return math.copysign(math.exp(min(logarithm, _LARGEST)), bucket)


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

    def add_many(self, names: Sequence[Any], codes: npt.NDArray[np.int64]) -> None:
        """One occurrence for each code, in order: of the value that it has in `names`."""
        if len(self._counts) + len(names) > self._max_distinct:  # what is forgotten depends on the order
            for code in codes.tolist():
                self.add(names[code])
            return
        self.count += len(codes)
        for name, times in zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True):
            if times:
                self._counts[name] += times

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
