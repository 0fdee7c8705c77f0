"""Puts data sets of the same columns one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lepton_ai.datasets.inference import natural_order
from lepton_ai.datasets.schema import Column, Schema, unknown_column
from lepton_ai.datasets.spool import unify
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.reading import Reading

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset


def concat(datasets: Sequence[Dataset]) -> Dataset:
    """See `Dataset.concat`; columns take the order, kinds and roles of the first data set."""
    if not datasets:
        raise InvalidInput("There is nothing to put together.", fix="Give at least one data set.")
    first = datasets[0]
    for other in datasets[1:]:
        if different := sorted(set(first.schema.names) ^ set(other.schema.names)):
            raise unknown_column(different[0], first.schema.names)
    tables = [each.table.select(list(first.schema.names)) for each in datasets]
    unify([table.schema for table in tables])
    table = pa.concat_tables(tables, promote_options="permissive")
    schema = Schema(tuple(_joined(column, datasets) for column in first.schema))
    sources = [each.source_lineage.source for each in datasets]
    return first.derived(table, schema, "concat", {"sources": sources, "rows": [len(each) for each in datasets]})


def _reading(name: str, columns: Sequence[Column]) -> Reading | None:
    """How the texts of all are read; what is missing in one is so in all. Raises InvalidInput when they differ."""
    readings = [each.reading for each in columns if each.reading is not None]
    if not readings:
        return None
    if len({replace(each, missing=()) for each in readings}) > 1:
        fix = "Read the files together: read_table([…]); or give them one reading: schema.with_readings."
        raise InvalidInput.of_field(name, "its texts are read in different ways", fix=fix)
    return replace(readings[0], missing=tuple(sorted({word for each in readings for word in each.missing})))


def _joined(column: Column, datasets: Sequence[Dataset]) -> Column:
    columns = [each.schema[column.name] for each in datasets]
    if len({each.root for each in columns}) > 1:
        raise InvalidInput.of_field(
            column.name,
            "its files lie in different folders",
            fix="Save the parts with embed=True, open them and put those together.",
        )
    column = replace(column, reading=_reading(column.name, columns))
    if not all(each.categories for each in columns):
        return replace(column, categories=())
    names = {name for each in columns for name in each.categories}
    return replace(column, categories=tuple(sorted(names, key=natural_order)))
