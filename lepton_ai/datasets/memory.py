"""Data sets from what a program already has: numpy arrays, lists, iterators of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from lepton_ai.datasets.arrays import column_array, rows_table, to_arrow
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.schema import Schema
from lepton_ai.datasets.spool import MEMORY_BUDGET_BYTES, Spool, collect
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import checked_text

_BATCH_ROWS = 1024
_PANDAS_INDEX = "__index_level_"


def from_arrays(x: Any, y: Any = None, *, name: str = "arrays", target: str | None = None) -> Dataset:
    """A data set of arrays (numpy, torch or lists), one row for each element of the first dimension.

    `x` is one array, which becomes the column "x", a mapping from column name to array, or a table of pandas, Polars or
    Arrow; `y`, if given, becomes the target, named "y" unless `target` says otherwise. Raises InvalidInput for lengths
    that differ.
    """
    arrays = _columns(x)
    if y is not None:
        target = target or "y"
        if target in arrays:
            raise InvalidInput.of_field(target, "is among the inputs as well", fix="Name the target: target=…")
        arrays[target] = y
    if not arrays:
        raise InvalidInput("There is no column.", fix="Give at least one array.")
    table = rows_table((str(column), column_array(str(column), values)) for column, values in arrays.items())
    return Dataset(table, Schema.infer(table, target), name=name, lineage=Lineage(source="arrays"))


def _columns(x: Any) -> dict[Any, Any]:
    if isinstance(x, Mapping):
        return dict(x)
    if hasattr(x, "columns") and hasattr(x, "__arrow_c_stream__"):  # a data frame, of whichever library
        table = pa.table(x)
        return {name: table.column(name) for name in table.column_names if not name.startswith(_PANDAS_INDEX)}
    return {"x": x}


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
    """Rows as Arrow batches. Raises InvalidInput naming the row that is not a mapping from text."""
    iterator = iter(rows)
    first_row = 0
    while some := list(islice(iterator, batch_rows)):
        yield batch_of(some, first_row=first_row)
        first_row += len(some)


def batch_of(rows: list[Mapping[str, Any]], *, first_row: int = 0) -> pa.RecordBatch:
    """Some rows as one batch; columns in the order in which rows name them first."""
    names: dict[str, None] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise InvalidInput(f"Row {first_row + index} is not a mapping from column names.", fix="Give dictionaries.")
        names.update(dict.fromkeys(row))
    for name in names:
        checked_text(name, "column name")
    arrays = [to_arrow(name, [row.get(name) for row in rows]) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
