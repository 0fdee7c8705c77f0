"""A sketch of a distribution of positive numbers: logarithmic buckets, each 4 % wide, as in DDSketch (VLDB 2019).

Any quantile is right within 2 % of its value. Values from a microsecond to a day, in seconds, have 631 buckets, of
which only those with something in them are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, exp, log

RELATIVE_ERROR = 0.02
_LOG_GAMMA = log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_PER_LOG = 1 / _LOG_GAMMA
_LEAST, _GREATEST = 1e-6, 1e5


def bucket_of(value: float) -> int:
    """The bucket of a value; what is below a millionth, zero included, is in that of a millionth."""
    return ceil(log(min(max(value, _LEAST), _GREATEST)) * _PER_LOG)


def value_of(bucket: int) -> float:
    """The value in the middle of a bucket."""
    return exp(bucket * _LOG_GAMMA) * (1 - RELATIVE_ERROR)


class Sketch:
    """How many values fell into each bucket."""

    __slots__ = ("buckets",)

    def __init__(self, buckets: dict[int, int] | None = None) -> None:
        self.buckets = {} if buckets is None else buckets
        """Bucket → values in it; sparse."""

    def add(self, value: float) -> None:
        """Count one value. Not a number is counted as the least."""
        if not value > _LEAST:
            value = _LEAST
        elif value > _GREATEST:
            value = _GREATEST
        bucket = ceil(log(value) * _PER_LOG)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def extend(self, values: Iterable[float]) -> None:
        """Count many values."""
        for value in values:
            self.add(value)

    @property
    def count(self) -> int:
        """All values together."""
        return sum(self.buckets.values())

    def quantile_bucket(self, share: float) -> int | None:
        """The bucket in which the smallest value lies that at least this share does not exceed; None when empty."""
        wanted, seen, last = max(share * self.count, 1), 0, None
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            last = bucket
            if seen >= wanted:
                break
        return last

    def quantile(self, share: float) -> float | None:
        """The value that this share does not exceed, within 2 %; None when empty."""
        bucket = self.quantile_bucket(share)
        return None if bucket is None else value_of(bucket)

    def count_above(self, bucket: int) -> int:
        """How many values lie in buckets above this one."""
        return sum(count for each, count in self.buckets.items() if each > bucket)

    def scaled(self, factor: float) -> Sketch:
        """The sketch of all values times a factor, to the nearest bucket."""
        shift = round(log(factor) * _PER_LOG)
        return Sketch({bucket + shift: count for bucket, count in self.buckets.items()})

    def halved(self) -> Sketch:
        """Half of everything, rounded down: how old values are forgotten."""
        return Sketch({bucket: count // 2 for bucket, count in self.buckets.items() if count > 1})

    def __add__(self, other: Sketch) -> Sketch:
        """Both together."""
        together = dict(self.buckets)
        for bucket, count in other.buckets.items():
            together[bucket] = together.get(bucket, 0) + count
        return Sketch(together)

    def __sub__(self, earlier: Sketch) -> Sketch:
        """What came since an earlier state of the same sketch."""
        before = earlier.buckets
        since = {bucket: count - before.get(bucket, 0) for bucket, count in self.buckets.items()}
        return Sketch({bucket: count for bucket, count in since.items() if count > 0})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.buckets == other.buckets

    def __repr__(self) -> str:
        return f"Sketch({dict(sorted(self.buckets.items()))})"

    __hash__ = None  # type: ignore[assignment] # it changes
