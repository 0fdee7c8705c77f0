"""The second pass: some or all rows, decoded and measured, as columns that checks compute with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lepton_ai.datasets import cells
from lepton_ai.datasets.profile.media import Broken, Clip, Picture, measure_picture, measure_sound
from lepton_ai.datasets.profile.progress import Stages
from lepton_ai.datasets.profile.values import number_values
from lepton_ai.datasets.schema import Column
from lepton_ai.datasets.times import Floats
from lepton_ai.errors import LeptonError
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

Rows = npt.NDArray[np.int64]

_TENSOR_NUMBERS = 1024
TEXT_HEAD_CHARS, TEXT_TAIL_CHARS = 3_000, 1_000
"""What is kept of a long text: many begin with the same words, such as a licence, and few end so as well."""


@dataclass
class Sample:
    """Rows by number, and of each column the values that suit its kind."""

    rows: Rows
    complete: bool
    """Whether these are all rows of the data."""
    numbers: dict[str, Floats] = field(default_factory=dict)
    """Numbers and times as float64, NaN where missing."""
    categories: dict[str, list[str | None]] = field(default_factory=dict)
    texts: dict[str, list[str | None]] = field(default_factory=dict)
    """Of long ones the beginning and the end."""
    lengths: dict[str, Floats] = field(default_factory=dict)
    """Characters of each whole text, NaN for missing and blank ones."""
    pictures: dict[str, list[Picture | Broken | None]] = field(default_factory=dict)
    clips: dict[str, list[Clip | Broken | None]] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    """Each cell flat, cut to 1,024 numbers, where all cells have one shape."""

    def __len__(self) -> int:
        return len(self.rows)


def choose_rows(rows: int, *, most: int, seed: int) -> Rows:
    """All row numbers, or `most` of them that the seed decides, in order."""
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False)).astype(np.int64)


def measure(data: Dataset, rows: Rows, stages: Stages) -> Sample:
    """Read and decode these rows, batch by batch."""
    stages.begin("Measuring", len(rows))
    sample = Sample(rows, complete=len(rows) == len(data))
    chosen = data if sample.complete else data.taken(rows, "take", {})
    columns = [column for column in data.schema if column.role != "ignore"]
    parts: dict[str, list[Any]] = {column.name: [] for column in columns}
    done = 0
    for batch in chosen.batches([column.name for column in columns]):
        for column in columns:
            parts[column.name].append(_cells(batch.column(column.name), column, sample.rows[done:]))
        done += batch.num_rows
        stages.advance(batch.num_rows)
    for column in columns:
        _keep(sample, column, parts[column.name])
    return sample


def _cells(array: pa.Array, column: Column, rows: Rows) -> Any:
    if column.kind in ("number", "time"):
        return number_values(array, column)
    if column.kind == "category":
        return [cells.category_text(value) for value in cells.values(array, column)]
    if column.kind in ("image", "sound"):
        return _measured(array, column, rows)
    values = cells.values(array, column)
    if column.kind == "text":
        return [None if value is None else _text_of(str(value)) for value in values]
    return [None if value is None else np.ravel(value)[:_TENSOR_NUMBERS] for value in values]


def _text_of(text: str) -> tuple[str, float]:
    """What is kept of a text, and how long it is."""
    length = float(len(text)) if text and not text.isspace() else math.nan
    if len(text) > TEXT_HEAD_CHARS + TEXT_TAIL_CHARS:
        text = text[:TEXT_HEAD_CHARS] + text[-TEXT_TAIL_CHARS:]
    return text, length


def _measured(array: pa.Array, column: Column, rows: Rows) -> list[Picture | Clip | Broken | None]:
    reads = cells.holds_paths(column, array.type)
    found: list[Picture | Clip | Broken | None] = []
    for value, row in zip(array.to_pylist(), rows.tolist(), strict=False):
        found.append(None if value is None else measure_file(value, column, row, reads=reads))
    return found


def measure_file(value: Any, column: Column, row: int, *, reads: bool) -> Picture | Clip | Broken:
    """A picture or sound in figures; Broken also when its file cannot be read."""
    try:
        data = cells.read_file(str(value), column=column, row=row) if reads else value
    except LeptonError as error:
        return Broken(error.message.partition(": ")[2] or error.message)
    return measure_picture(data) if column.kind == "image" else measure_sound(data)


def _keep(sample: Sample, column: Column, parts: list[Any]) -> None:
    name = column.name
    if column.kind in ("number", "time"):
        sample.numbers[name] = np.concatenate([np.empty(0), *parts])
        return
    flat = [value for part in parts for value in part]
    if column.kind == "category":
        sample.categories[name] = flat
    elif column.kind == "text":
        sample.texts[name] = [None if each is None else each[0] for each in flat]
        sample.lengths[name] = np.array([math.nan if each is None else each[1] for each in flat], dtype=np.float64)
    elif column.kind == "image":
        sample.pictures[name] = flat
    elif column.kind == "sound":
        sample.clips[name] = flat
    elif flat and all(value is not None and value.dtype.kind in "fiub" for value in flat) and _alike(flat):
        sample.tensors[name] = np.stack(flat).astype(np.float32)


def _alike(arrays: list[Array]) -> bool:
    return len({len(array) for array in arrays}) == 1
