"""Rows of a data set as the columns that pipelines of numbers and categories take, straight from Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.schema import Column
from lepton_ai.file import FILE_KINDS
from lepton_ai.pipeline.columns import Categories, Numbers, Row, Unusual, categories_of, column_of
from lepton_ai.pipeline.columns import Column as PipelineColumn
from lepton_ai.pipeline.reading import NO_READINGS, Reading
from lepton_ai.pipeline.values import as_read

_BATCH_ROWS = 8192


@dataclass(frozen=True)
class ArrowRows:
    """A batch of a table: as rows just what Dataset.rows gives."""

    batch: pa.RecordBatch
    described: Sequence[Column]
    first_row: int = 0

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def rows(self) -> Iterable[Row]:
        return cells.rows_of(self.batch, self.described, first_row=self.first_row)

    def columns(
        self, kinds: Mapping[str, str], readings: Mapping[str, Reading] = NO_READINGS
    ) -> dict[str, PipelineColumn]:
        """Numbers were read when the table was, or are read as its schema says; texts of categories are read here."""
        return {
            each.name: _column(self.batch.column(each.name), each, kinds[each.name], readings.get(each.name))
            for each in self.described
        }


def column_batches(data: Dataset, names: Sequence[str]) -> Iterator[ArrowRows]:
    """All rows in order, these columns of them."""
    described = data.schema.select(tuple(names)).columns
    first_row = 0
    for batch in data.batches(names, batch_rows=_BATCH_ROWS):
        yield ArrowRows(batch, described, first_row)
        first_row += batch.num_rows


def _column(array: pa.Array, column: Column, kind: str, reading: Reading | None) -> PipelineColumn:
    if column.kind in FILE_KINDS:
        raise Unusual
    if kind == "number":
        return _numbers(array, column)
    return _categories(array, column, reading)


def _numbers(array: pa.Array, column: Column) -> PipelineColumn:
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif not (pa.types.is_integer(array.type) or pa.types.is_float32(array.type) or pa.types.is_float64(array.type)):
        return column_of(cells.values(array, column), "number")
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return Numbers(array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False), missing)


def _categories(array: pa.Array, column: Column, reading: Reading | None) -> Categories | PipelineColumn:
    kind = array.type
    if cells.is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        array = array.dictionary_encode()
    elif not pa.types.is_dictionary(kind) or len(array.dictionary) > len(array):
        return column_of([as_read(cell, "category", reading) for cell in cells.values(array, column)], "category")
    names = [as_read(name, "category", reading) for name in cells.values(array.dictionary, column)]
    codes = array.indices.cast(pa.int64())
    if codes.null_count:
        codes = codes.fill_null(len(names))
        names.append(None)
    return categories_of(codes.to_numpy(zero_copy_only=False), names)
