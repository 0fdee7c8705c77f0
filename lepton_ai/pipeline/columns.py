"""Many rows at once, as columns: how tables of numbers and categories go through a pipeline at NumPy's speed.

What comes out is, bit for bit, what row by row comes out. Whatever is not plain raises Unusual, and then that batch
goes row by row, so that every message is said in one place only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import methodcaller
from types import NoneType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lepton_ai.pipeline.reading import NO_READINGS, Reading
from lepton_ai.pipeline.values import Anomaly, Limits, RawValue, as_read, category_name, size_bytes
from lepton_ai.tensors import Array

Mask = npt.NDArray[np.bool_]
Row = Mapping[str, RawValue]

KINDS_ON_COLUMNS = ("number", "category")

_NUMBER_TYPES = {float, int, bool, np.float64, np.float32, np.int64}
_CATEGORY_TYPES = {str, bytes, int, bool, float}
_HUGE = 2.0**1000


class Unusual(Exception):
    """This batch must go row by row: something in it is to be refused, or is not plain enough for columns."""


@dataclass(frozen=True)
class Numbers:
    """A number of every row; one that is missing is NaN here and true in `missing`."""

    values: npt.NDArray[np.float64]
    missing: Mask | None = None

    def finite(self) -> npt.NDArray[np.float64]:
        """The values. Raises Unusual unless all are there and finite."""
        if not np.isfinite(self.values).all():
            raise Unusual
        return self.values


@dataclass(frozen=True)
class Categories:
    """A category of every row, as a place in `names`; the name of a missing one is None."""

    codes: npt.NDArray[np.int64]
    names: Sequence[str | None]

    def spread(self, of_names: Iterable[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
        """What is given for every name, for every row."""
        return np.fromiter(of_names, dtype, len(self.names))[self.codes]

    def check_present(self) -> None:
        """Raises Unusual when one is missing."""
        if None in self.names and self.spread((name is None for name in self.names), np.bool_).any():
            raise Unusual


Column = Numbers | Categories | Array
"""A value of every row. An array is a tensor of every row: [rows, …]."""


@dataclass
class ColumnsCall:
    """A batch on its way through a pipeline: what was odd so far, and where each value came from."""

    count: int
    """How many rows."""
    origins: tuple[str, ...] = ()
    """For each value that the current step reads, the pipeline's input it was made of."""
    flags: list[tuple[npt.NDArray[np.int64], Anomaly]] = field(default_factory=list)
    effects: list[Callable[[], None]] = field(default_factory=list)
    """What steps want done when all steps have gone well: a batch that goes row by row must not be learned twice."""

    def flag(self, rows: Mask, reason: str, problem: str, *, which: int = 0) -> None:
        """Note an anomaly of the `which`-th value that the step reads, in these rows."""
        if rows.any():
            self.flags.append((np.flatnonzero(rows), Anomaly(self.origins[which], reason, problem)))


@runtime_checkable
class OnColumns(Protocol):
    """An operation that can also take a whole batch at once."""

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        """What `apply` gives for every row. Raises Unusual where `apply` would raise for one of them."""
        ...


@dataclass(frozen=True)
class ProcessedRows:
    """What a pipeline made of many rows: for every output one tensor [rows, …], and what was odd."""

    tensors: dict[str, Array]
    count: int
    flags: Sequence[tuple[npt.NDArray[np.int64], Anomaly]]

    @property
    def anomalies(self) -> list[list[Anomaly]]:
        """Those of each row."""
        found: list[list[Anomaly]] = [[] for _ in range(self.count)]
        for rows, anomaly in self.flags:
            for row in rows:
                found[row].append(anomaly)
        return found


class RowBatch(Protocol):
    """Some rows of a table, to be had both ways."""

    def __len__(self) -> int: ...
    def rows(self) -> Iterable[Row]:
        """One by one."""
        ...

    def columns(self, kinds: Mapping[str, str], readings: Mapping[str, Reading] = NO_READINGS) -> dict[str, Column]:
        """The columns of these names and kinds, their texts read. Raises Unusual."""
        ...


@dataclass(frozen=True)
class ListedRows:
    """Rows that somebody gave as such. What a row lacks is missing; what is no input is passed over."""

    listed: Sequence[Row]

    def __len__(self) -> int:
        return len(self.listed)

    def rows(self) -> Iterable[Row]:
        return self.listed

    def columns(self, kinds: Mapping[str, str], readings: Mapping[str, Reading] = NO_READINGS) -> dict[str, Column]:
        return {name: self._column(name, kind, readings.get(name)) for name, kind in kinds.items()}

    def _column(self, name: str, kind: str, reading: Reading | None) -> Column:
        cells = list(map(methodcaller("get", name), self.listed))
        return column_of(cells if reading is None else [as_read(cell, kind, reading) for cell in cells], kind)


def in_batches(rows: Iterable[Row], size: int) -> Iterator[ListedRows]:
    """The rows in their order, so many at a time."""
    remaining = iter(rows)
    while listed := list(islice(remaining, size)):
        yield ListedRows(listed)


def column_of(cells: Sequence[RawValue], kind: str) -> Column:
    """Raw values of one input as a column. Raises Unusual."""
    return _numbers(cells) if kind == "number" else _categories(cells)


def categories_of(codes: npt.NDArray[np.int64], raw_names: Iterable[RawValue]) -> Categories:
    """Raw values, of which only the distinct ones are given, as a column. Raises Unusual."""
    names = [None if raw is None else category_name(raw) for raw in raw_names]
    if any(name is None and raw is not None for name, raw in zip(names, raw_names, strict=True)):
        raise Unusual
    return Categories(codes, names)


def check_sizes(columns: Iterable[Column], limits: Limits) -> None:
    """Raises Unusual when a row might be larger than allowed."""
    total_bytes = 0
    for column in columns:
        names = column.names if isinstance(column, Categories) else ()
        total_bytes += max([8, *map(size_bytes, names)])
    if total_bytes > limits.max_item_bytes:
        raise Unusual


def _numbers(cells: Sequence[Any]) -> Numbers:
    types = set(map(type, cells))
    has_gaps = NoneType in types
    if not types - {NoneType} <= _NUMBER_TYPES:
        raise Unusual
    try:
        values = np.array([np.nan if cell is None else cell for cell in cells] if has_gaps else cells, np.float64)
    except OverflowError:
        raise Unusual from None
    if int in types and (np.isfinite(values) & (np.abs(values) >= _HUGE)).any():  # such a whole number is infinite
        raise Unusual
    return Numbers(values, np.fromiter((cell is None for cell in cells), np.bool_, len(cells)) if has_gaps else None)


def _categories(cells: Sequence[Any]) -> Categories:
    types = set(map(type, cells)) - {NoneType}
    if len(types) > 1 or not types <= _CATEGORY_TYPES:  # 1, 1.0 and True are equal, but not the same category
        raise Unusual
    places = {raw: place for place, raw in enumerate(dict.fromkeys(cells))}
    return categories_of(np.fromiter(map(places.__getitem__, cells), np.int64, len(cells)), list(places))
