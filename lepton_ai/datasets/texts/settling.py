"""Settles how texts are read where a schema only says that they are numbers or times; and how requests are read."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.schema import Column, Schema
from lepton_ai.datasets.texts.column_survey import survey_of
from lepton_ai.pipeline.reading import Reading


def settled(schema: Schema, table: pa.Table) -> Schema:
    """The schema with a reading for every column of texts that are numbers or times; decided from the whole column."""
    for column in schema:
        texts = table.column(column.name)
        if column.kind in ("number", "time") and column.reading is None and cells.holds_texts(texts.type):
            schema = schema.with_column(_insisted(column, texts))
    return schema


def served_reading(column: Column, kind: pa.DataType) -> Reading | None:
    """How a text in a request is read for this column, of this Arrow type; None when it is taken as it is."""
    reading = column.reading
    if reading is None or column.kind not in ("number", "category"):
        return None
    if column.kind == "category" and cells.holds_texts(kind):
        return reading if reading.of == "texts" else None
    # a whole number has one name as a category, 1.50 has several; a number that is none is refused as it always was
    is_plain = reading == Reading() and (column.kind == "number" or pa.types.is_integer(kind))
    return None if is_plain or reading.of == "texts" else reading


def _insisted(column: Column, texts: pa.ChunkedArray) -> Column:
    survey = survey_of(texts, insists=True)
    found = survey.times.found(None) if column.kind == "time" else survey.numbers.insisted()
    note = found.note
    if found.what == "undecided":
        example, found = found.note.partition(" can be ")[0], survey.numbers.insisted(".")
        note = f"{example}: commas are read as thousands; with_readings(NAME=Reading(decimal=',')) decides otherwise"
    reading = Reading() if found.reading.of == "texts" else found.reading
    return replace(column, reading=reading, note="; ".join(filter(None, (column.note, note))), decided=note)
