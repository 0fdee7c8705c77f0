"""Applies a function to every row of a data set, batch by batch, in this process or through Ray Data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.inference import infer_column
from lepton_ai.datasets.memory import batch_of
from lepton_ai.datasets.parallel import Engine, in_order
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.datasets.spool import MEMORY_BUDGET_BYTES, Spool, collect
from lepton_ai.file import FILE_KINDS
from lepton_ai.pipeline.values import RawValue

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

RowFunction = Callable[[dict[str, RawValue]], Mapping[str, Any]]


def map_rows(
    data: Dataset,
    function: RowFunction,
    *,
    engine: Engine | None,
    workers: int | None,
    memory_budget_bytes: int | None,
) -> Dataset:
    """See `Dataset.map`."""
    work = _MapBatch(function, data.schema.columns)
    made = in_order(work, _numbered(data), engine=engine, workers=workers)
    budget_bytes = MEMORY_BUDGET_BYTES if memory_budget_bytes is None else memory_budget_bytes
    table = collect(made, Spool(memory_budget_bytes=budget_bytes))
    schema = Schema(tuple(_column(name, table, data.schema) for name in table.column_names))
    return data.derived(table, schema, "map", {"function": getattr(function, "__qualname__", type(function).__name__)})


class _MapBatch:
    """What is done to a batch, the same in every engine; other processes are given this value."""

    def __init__(self, function: RowFunction, columns: tuple[Column, ...]) -> None:
        self._function = function
        self._columns = columns

    def __call__(self, numbered: tuple[int, pa.RecordBatch]) -> pa.RecordBatch:
        first_row, batch = numbered
        rows = cells.rows_of(batch, self._columns, first_row=first_row)
        return batch_of([self._function(row) for row in rows], first_row=first_row)


def _numbered(data: Dataset) -> Iterator[tuple[int, pa.RecordBatch]]:
    first_row = 0
    for batch in data.batches():
        yield first_row, batch
        first_row += batch.num_rows


def _column(name: str, table: pa.Table, former: Schema) -> Column:
    """A column that keeps its kind of value keeps its place in the schema; a file that was read is bytes now."""
    if name not in former:
        return infer_column(name, table.column(name))
    old = former[name]
    if old.kind in FILE_KINDS and cells.is_binary(table.schema.field(name).type):
        return replace(old, root="")  # also when some of them are broken
    inferred = infer_column(name, table.column(name), target=old.role == "target")
    if old.kind == inferred.kind or (old.kind == "category" and inferred.kind in ("text", "number")):
        categories = old.categories if set(inferred.categories) <= set(old.categories) else ()
        return replace(old, categories=categories, root=inferred.root, reading=inferred.reading)
    return replace(inferred, role=old.role)
