"""Data sets from what a program already has: numpy arrays, lists, iterators of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from lepton_ai.datasets.arrow.arrays import rows_table, to_arrow
from lepton_ai.datasets.arrow.foreign import column_array, frame_columns, is_frame
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.schema import Schema
from lepton_ai.datasets.spool import MEMORY_BUDGET_BYTES, Spool, collect
from lepton_ai.errors import InvalidInput

_BATCH_ROWS = 1024
_TWICE = "Drop it from the inputs if it is the target, else rename one of them."
UNNAMED_TARGET = "y"
"""What targets are called that were given beside their inputs, without a name."""


def from_arrays(x: Any, y: Any = None, *, name: str = "arrays", target: str | None = None) -> Dataset:
    """A data set of arrays (numpy, torch or lists), one row for each element of the first dimension.

    `x` is one array, which becomes the column "x", a mapping from column name to array, or a table of pandas, Polars or
    Arrow; `y`, if given, becomes the target, named "y" unless `target` says otherwise. Raises InvalidInput for lengths
    that differ.
    """
    arrays = _columns(x)
    if y is not None:
        target = target or UNNAMED_TARGET
        if target in arrays:
            raise InvalidInput.of_field(target, "is among the inputs as well", fix=_TWICE)
        arrays[target] = y
    if not arrays:
        raise InvalidInput("There is no column.", fix="Give at least one array.")
    table = rows_table((str(column), column_array(str(column), values)) for column, values in arrays.items())
    return Dataset(table, Schema.infer(table, target), name=name, lineage=Lineage(source="arrays"))


def _columns(x: Any) -> dict[Any, Any]:
    if isinstance(x, Mapping):
        return dict(x)
    return dict(frame_columns(x)) if is_frame(x) else {"x": x}


def from_rows(
    iterable: Iterable[Mapping[str, Any]],
    schema: Schema | None = None,
    *,
    target: str | None = None,
    name: str = "rows",
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
    cache_directory: Path | None = None,
) -> Dataset:
    """A data set of dictionaries, taken from any iterable, also one that is larger than memory.

    Columns that a row lacks are missing values. Above the budget the rows are kept in a file. Raises InvalidInput for
    rows that are no mappings and for columns whose values are of types that do not go together.
    """
    spool = Spool(memory_budget_bytes=memory_budget_bytes, directory=cache_directory)
    table = collect(row_batches(iterable), spool)
    if schema is not None:
        lacking = [column for column in schema.names if column not in table.column_names]
        for column in lacking if not len(table) else ():
            table = table.append_column(column, pa.nulls(0))
    chosen = schema if schema is not None else Schema.infer(table, target)
    return Dataset(table, chosen, name=name, lineage=Lineage(source="rows"))


def row_batches(rows: Iterable[Mapping[str, Any]], *, batch_rows: int = _BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Rows as Arrow batches. Raises InvalidInput naming the row that is not a mapping."""
    iterator = iter(rows)
    first_row = 0
    while some := list(islice(iterator, batch_rows)):
        yield batch_of(some, first_row=first_row)
        first_row += len(some)


def batch_of(rows: list[Mapping[str, Any]], *, first_row: int = 0) -> pa.RecordBatch:
    """Some rows as one batch; columns in the order in which rows name them first."""
    names: dict[Any, None] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput(f"Row {first_row + index} is not a mapping from column names.", fix="Give dictionaries.")
        names.update(dict.fromkeys(row))
    texts = [str(name) for name in names]  # data frames may have numbers as names
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise InvalidInput.of_field(twice, "two columns have this name", fix="Rename one of them.")
    arrays = [to_arrow(text, [row.get(name) for row in rows]) for text, name in zip(texts, names, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=texts)
