"""Data sets as files: Arrow IPC with schema, name and lineage in the metadata; read back memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.datasets.spool import open_table, write_table
from lepton_ai.errors import FailedPrecondition, NotFound

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

_KEY = b"lepton_dataset"
_FORMAT = 1


def save(data: Dataset, path: Path, *, embed: bool) -> None:
    """See `Dataset.save`."""
    kinds = {field.name: field.type for field in data.arrow_schema}
    embedded = [column for column in data.schema if embed and cells.holds_paths(column, kinds[column.name])]
    fields = [pa.field(column.name, kinds[column.name]) for column in data.schema]
    for column in embedded:
        fields[data.schema.names.index(column.name)] = pa.field(column.name, pa.large_binary())
    schema = data.schema
    for column in embedded:
        schema = schema.with_column(replace(column, root=""))
    document = {
        "format": _FORMAT,
        "name": data.name,
        "schema": schema.to_json(),
        "lineage": data.lineage.to_json(),
    }
    arrow_schema = pa.schema(fields, metadata={_KEY: json.dumps(document, ensure_ascii=False).encode()})
    write_table(_batches(data, arrow_schema, embedded), arrow_schema, path)


def open_dataset(path: Path) -> Dataset:
    """See `Dataset.open`."""
    from lepton_ai.datasets.dataset import Dataset

    if not path.is_file():
        raise NotFound(f"There is no data set {path}.", fix="Check the path, or save it first.")
    table = open_table(path)
    try:
        document = json.loads((table.schema.metadata or {})[_KEY])
        schema, lineage = Schema.from_json(document["schema"]), Lineage.from_json(document["lineage"])
        name = str(document["name"])
    except (KeyError, ValueError, TypeError) as error:
        raise FailedPrecondition(
            f"{path.name} is an Arrow file, but not one that Dataset.save wrote.", fix="Read it with read_table."
        ) from error
    return Dataset(table.replace_schema_metadata(None), schema, name=name, lineage=lineage)


def _batches(data: Dataset, schema: pa.Schema, embedded: list[Column]) -> Iterator[pa.RecordBatch]:
    first_row = 0
    for batch in data.batches():
        columns = {name: batch.column(name) for name in data.schema.names}
        for column in embedded:
            columns[column.name] = _embed(columns[column.name], column, first_row)
        yield pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)
        first_row += batch.num_rows


def _embed(array: pa.Array, column: Column, first_row: int) -> pa.Array:
    paths = array.to_pylist()
    files = [
        None if path is None else cells.read_file(path, column=column, row=first_row + index)
        for index, path in enumerate(paths)
    ]
    return pa.array(files, pa.large_binary())
