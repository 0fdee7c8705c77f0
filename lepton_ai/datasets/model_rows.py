"""The rows of tables as examples for a model: the columns that it takes, by name, as they stand in the table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.arrow.foreign import frame_columns
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.schema import Column, Kind, Schema, unknown_column
from lepton_ai.datasets.table import table_batches
from lepton_ai.datasets.texts.column_survey import MISSING_WORDS
from lepton_ai.errors import InvalidInput
from lepton_ai.file import FILE_KINDS, File
from lepton_ai.pipeline.reading import Reading
from lepton_ai.pipeline.values import RawValue

ModelRow = dict[str, RawValue | File]
"""Values by the names of a model's inputs; a picture or sound that the table names by its path is a `File`."""

_PLAIN = Reading()


def model_rows(table: Any, kinds: Mapping[str, str], read: Collection[str]) -> Iterator[ModelRow]:
    """The rows of a data set or a data frame of pandas, Polars or Arrow for a model with inputs of these kinds.

    Columns that the model does not take are passed over; the only column of a table is the only input, whatever its
    name. Texts of the inputs in `read` are left to the model's pipeline, which reads them as its own table was read.
    Raises InvalidInput when a column is lacking that the model takes.
    """
    data = table if isinstance(table, Dataset) else _frame_data(table, kinds)
    chosen = _chosen(data.schema.names, kinds)
    columns = {name: data.schema[own] for name, own in chosen.items()}
    for batch in data.batches(list(chosen.values())):
        yield from _rows(batch, chosen, columns, kinds, read)


def file_rows(file: Path, kinds: Mapping[str, str], read: Collection[str]) -> Iterator[ModelRow]:
    """The rows of a CSV, TSV, Parquet or Arrow file, as `model_rows` gives them; of any size, read bit by bit.

    Texts of CSV files are numbers only as programs write them, 1234.5, unless the pipeline reads them. Paths in the
    file start from its folder. Raises InvalidInput.
    """
    batches = table_batches(file)
    first = next(batches, None)
    if first is None:
        return
    chosen = _chosen(tuple(first.schema.names), kinds)
    root = str(file.parent.absolute())
    columns = {name: Column(own, "text", root=root) for name, own in chosen.items()}
    for batch in chain([first], batches):
        yield from _rows(batch, chosen, columns, kinds, read)


def _frame_data(frame: Any, kinds: Mapping[str, str]) -> Dataset:
    """A frame's texts are decided on column by column, as those that are trained on."""
    given = frame_columns(frame)
    chosen = _chosen(tuple(given), kinds)
    columns = tuple(Column(own, cast("Kind", kinds[name])) for name, own in chosen.items())
    return Dataset(pa.table({column.name: given[column.name] for column in columns}), Schema(columns))


def _chosen(names: tuple[str, ...], kinds: Mapping[str, str]) -> dict[str, str]:
    """The column for every input, in the order of the table."""
    if len(names) == 1 and len(kinds) == 1:
        return {next(iter(kinds)): names[0]}
    for name, kind in kinds.items():
        if name not in names and len(kinds) == 1 and kind == "tensor":
            raise InvalidInput(
                f"The model takes an array, {name}; this table has a column for each number.",
                reason="WRONG_COLUMNS",
                fix="Send the array itself: of a data frame table.to_numpy(), in a .json file as lists of numbers.",
            )
        if name not in names:
            raise unknown_column(name, names)
    return {name: name for name in names if name in kinds}


def _rows(
    batch: pa.RecordBatch,
    chosen: Mapping[str, str],
    columns: Mapping[str, Column],
    kinds: Mapping[str, str],
    read: Collection[str],
) -> Iterator[ModelRow]:
    given = [
        _values(batch.column(own), columns[name], kinds[name], is_read=name in read) for name, own in chosen.items()
    ]
    for row in zip(*given, strict=True):
        yield dict(zip(chosen, row, strict=True))


def _values(array: pa.Array, column: Column, kind: str, *, is_read: bool) -> Sequence[Any]:
    if not cells.holds_texts(array.type):
        return cells.values(array, Column(column.name, cast("Kind", kind)))
    texts = array.to_pylist()
    if kind in FILE_KINDS:
        return [None if text is None else File(Path(column.root, text)) for text in texts]
    if kind != "number" or is_read:
        return texts  # type: ignore[no-any-return]  # pyarrow has no types
    reading = column.reading or _PLAIN
    return [None if text is None else _number(text, reading) for text in texts]


def _number(text: str, reading: Reading) -> float | str | None:
    """What is no number stays a text, which the model's pipeline refuses by its name."""
    if reading.is_missing(text) or text.strip() in MISSING_WORDS:
        return None
    number = reading.number(text)
    return text if number is None else number
