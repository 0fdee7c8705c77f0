"""What expressions are worth: every value at every step of an evaluation, as arrays."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import NAME
from services.health.promql.parsing import invalid

Labels: TypeAlias = Mapping[str, str]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """One number of an instant vector."""

    labels: Labels
    """Without any for a scalar."""
    value: float


@dataclass(frozen=True)
class Scalar:
    """A number at every step."""

    values: Floats
    """[steps]."""


@dataclass(frozen=True)
class Vector:
    """An instant vector at every step."""

    labels: Sequence[Labels]
    values: Floats
    """[series, steps]; without meaning where nothing is present."""
    present: Flags
    """[series, steps]: NaN is a value like others, so what is there needs a mark."""

    @classmethod
    def empty(cls, steps: int) -> Vector:
        """No series."""
        return cls((), np.zeros((0, steps)), np.zeros((0, steps), dtype=bool))

    @classmethod
    def of_one(cls, labels: Labels, values: Floats, present: Flags) -> Vector:
        """One series."""
        return cls((labels,), values[np.newaxis], present[np.newaxis])

    def chosen(self, rows: Sequence[int] | Integers) -> Vector:
        """Some of the series, in this order."""
        rows = np.asarray(rows, dtype=np.int64)
        return Vector([self.labels[row] for row in rows], self.values[rows], self.present[rows])

    def nameless(self) -> Vector:
        """The same without the metric's name; what then has the same labels is one series, at different times."""
        return merged(self.without_names())

    def without_names(self) -> Vector:
        """The same without the metric's name, row by row."""
        return Vector([without(each, (NAME,)) for each in self.labels], self.values, self.present)


@dataclass(frozen=True)
class Batch:
    """Samples of many series, one series after the other."""

    labels: Sequence[Labels]
    times_ms: Integers
    """[samples], milliseconds since 1970; of each series the oldest first."""
    values: Floats
    """[samples]."""
    starts: Integers
    """[series + 1]: where each series begins, and the end of the last one."""

    def ends_at(self, moments_ms: Integers) -> Integers:
        """[series, moments]: the index after the last sample of each series that is not later than each moment."""
        if not len(self.times_ms):
            return np.broadcast_to(self.starts[:-1, np.newaxis], (len(self.labels), len(moments_ms)))
        before = int(self.times_ms.min()) - 1
        span = int(self.times_ms.max()) - before + 1
        rows = np.arange(len(self.labels)) * span  # one ascending line of time, on which series follow each other
        line = self.times_ms - before + np.repeat(rows, np.diff(self.starts))
        wanted = rows[:, np.newaxis] + np.clip(moments_ms - before, 0, span - 1)
        return np.searchsorted(line, wanted.ravel(), side="right").reshape(wanted.shape)

    def only(self, kept: Flags) -> Batch:
        """The samples [samples] that are marked; a series may have none left."""
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return Batch(self.labels, self.times_ms[kept], self.values[kept], starts)


@dataclass(frozen=True)
class Windows:
    """A range vector at every step: the samples of all series one after the other, and which of them each step sees."""

    labels: Sequence[Labels]
    times_ms: Integers
    """[samples]."""
    values: Floats
    """[samples]."""
    first: Integers
    """[series, steps]: index of the first sample of the window."""
    end: Integers
    """[series, steps]: index after its last one."""
    steps_ms: Integers
    """[steps]: when it is evaluated."""
    ends_ms: Integers
    """[steps]: where the window ends; this is not `steps_ms` where there is an offset."""
    range_ms: int


Value: TypeAlias = Scalar | Vector | Windows | str


def without(labels: Labels, names: Iterable[str]) -> dict[str, str]:
    """Labels but for some."""
    return {name: value for name, value in labels.items() if name not in names}


def only(labels: Labels, names: Iterable[str]) -> dict[str, str]:
    """Some of the labels; what is not there is left out."""
    return {name: labels[name] for name in names if name in labels}


def identity(labels: Labels) -> tuple[tuple[str, str], ...]:
    """What two series share exactly when all their labels agree."""
    return tuple(sorted(labels.items()))


def numbered(keys: Iterable[Hashable]) -> tuple[Integers, list[int]]:
    """The number of each key's group in order of appearance, and the place of the first member of each group."""
    numbers: dict[Hashable, int] = {}
    places: list[int] = []
    groups = []
    for place, key in enumerate(keys):
        number = numbers.setdefault(key, len(numbers))
        if number == len(places):
            places.append(place)
        groups.append(number)
    return np.asarray(groups, dtype=np.int64), places


def merged(vector: Vector) -> Vector:
    """Rows with the same labels made one. Raises InvalidInput where two are there at the same time."""
    groups, places = numbered(map(identity, vector.labels))
    if len(places) == len(vector.labels):
        return vector
    counts = np.zeros((len(places), vector.values.shape[1]), dtype=np.int64)
    np.add.at(counts, groups, vector.present)
    if counts.max(initial=0) > 1:
        raise duplicates()
    values = np.zeros(counts.shape)
    rows, steps = np.nonzero(vector.present)
    values[groups[rows], steps] = vector.values[rows, steps]
    return Vector([vector.labels[place] for place in places], values, counts > 0)


def distinct(vector: Vector) -> Vector:
    """The same. Raises InvalidInput where two series have the same labels, be it at different times."""
    if len(set(map(identity, vector.labels))) < len(vector.labels):
        raise duplicates()
    return vector


def duplicates() -> Exception:
    """The error for a result in which one series would be there twice."""
    return invalid("vector cannot contain metrics with the same labelset", reason="DUPLICATE_SERIES")
