"""Data as a model takes it: every row run through the model's pipeline once, kept as arrays, handed out in batches."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.datasets.cells import holds_texts
from lepton_ai.datasets.column_batches import column_batches
from lepton_ai.errors import InvalidInput
from lepton_ai.file import FILE_KINDS
from lepton_ai.pipeline import Pipeline, Processed, RawValue
from lepton_ai.pipeline.columns import ProcessedRows, RowBatch, in_batches
from lepton_ai.tensors import Array
from lepton_ai.training.targets.weights import row_weights

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset
    from lepton_ai.training.tasks import Task

_MAX_MEMORY_BYTES = 2 << 30
_CHUNK_ROWS = 256
_ROWS_AT_ONCE = 8
"""Handing a row of a table to a thread costs as much as running it."""
_NAMED_ROWS = 5


@dataclass(frozen=True)
class Prepared:
    """All rows of a data set as arrays, [rows, …] each."""

    inputs: dict[str, Array]
    targets: dict[str, Array]
    """What should come out, and under `WEIGHT`, where rows do not count alike, how much each counts."""

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @classmethod
    def of(cls, data: Dataset, pipeline: Pipeline, task: Task, *, memory_bytes: int = _MAX_MEMORY_BYTES) -> Prepared:
        """Run every row through the pipeline. Arrays larger than `memory_bytes` together live in a file.

        Raises InvalidInput that names the rows which the pipeline refuses, with the first one's reason.
        """
        if len(data) == 0:
            raise InvalidInput("The data set is empty.", reason="EMPTY_DATA", fix="Give at least one row.")
        targets = {**task.targets(data), **row_weights(data, task=task.name, are_heeded=task.heeds_weights)}
        return cls(prepare_inputs(data, pipeline, memory_bytes), targets)

    def take(self, rows: Sequence[int] | Array) -> Prepared:
        """Only these rows."""
        chosen = np.asarray(rows)
        inputs = {name: array[chosen] for name, array in self.inputs.items()}
        return Prepared(inputs, {name: array[chosen] for name, array in self.targets.items()})

    def batch(self, rows: Array | slice) -> Batch:
        """These rows as tensors of their own: a network may change them in place."""
        inputs = {name: _tensor(array, rows) for name, array in self.inputs.items()}
        return Batch(inputs, {name: _tensor(array, rows) for name, array in self.targets.items()})

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows in order, the last batch being what is left."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))


def as_declared(data: Dataset, pipeline: Pipeline) -> Dataset:
    """The rows with their texts read as the pipeline's table was, whatever they would be taken for on their own.

    Where the pipeline takes no files, texts stay as they are, however much they look like paths.
    """
    schema = data.schema
    for name in filter(schema.__contains__, pipeline.inputs):
        kind: Any = pipeline.inputs[name]
        reading = pipeline.readings.get(name)
        column = schema[name]
        if column.kind in FILE_KINDS and kind not in FILE_KINDS:
            column = replace(column, kind=kind, categories=())
        if reading is not None and holds_texts(data.arrow_schema.field(name).type):
            column = replace(column, kind=kind, reading=reading, categories=())
        schema = schema.with_column(column)
    return data if schema == data.schema else data.with_schema(schema)


def prepare_inputs(data: Dataset, pipeline: Pipeline, memory_bytes: int = _MAX_MEMORY_BYTES) -> dict[str, Array]:
    """All rows as one array an output of the pipeline. Raises InvalidInput naming the rows that are refused."""
    store = _Store(len(data), memory_bytes)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding and resizing release the GIL
        for batch in _batches(as_declared(data, pipeline), pipeline):
            processed = pipeline.run_batch(batch)
            if processed is None:
                store.add_rows(_run_rows(pipeline, batch.rows(), threads))
            else:
                store.add_batch(processed)
    if store.refused:
        raise _refusal(store.refused, len(data))
    return store.arrays


class _Store:
    """Arrays that fill up from the first row on, and the rows that were refused."""

    def __init__(self, count: int, memory_bytes: int) -> None:
        self.arrays: dict[str, Array] = {}
        self.refused: list[tuple[int, InvalidInput]] = []
        self._count = count
        self._memory_bytes = memory_bytes
        self._next = 0

    def add_rows(self, results: Iterable[Processed | InvalidInput]) -> None:
        """What became of the next rows. Raises InvalidInput for tensors that are unlike the first row's."""
        for result in results:
            if isinstance(result, InvalidInput):
                self.refused.append((self._next, result))
            elif not self.refused:
                self._allocate({name: array[np.newaxis] for name, array in result.tensors.items()})
                _store(self.arrays, self._next, result)
            self._next += 1

    def add_batch(self, processed: ProcessedRows) -> None:
        """What became of the next rows, none of which was refused."""
        end = self._next + processed.count
        if not self.refused:
            self._allocate(processed.tensors)
            for name, rows in processed.tensors.items():
                self.arrays[name][self._next : end] = rows
        self._next = end

    def _allocate(self, first: Mapping[str, Array]) -> None:
        if not self.arrays:
            total_bytes = self._count * sum(array[0].nbytes for array in first.values())
            make = _array_in_file if total_bytes > self._memory_bytes else np.empty
            self.arrays = {name: make((self._count, *each.shape[1:]), each.dtype) for name, each in first.items()}


def _batches(data: Dataset, pipeline: Pipeline) -> Iterable[RowBatch]:
    names = tuple(pipeline.inputs)
    return column_batches(data, names) if pipeline.on_columns else in_batches(data.rows(names), _CHUNK_ROWS)


def _tensor(array: Array, rows: Array | slice) -> Tensor:
    chosen = array[rows]
    return torch.from_numpy(chosen.copy() if isinstance(rows, slice) else np.ascontiguousarray(chosen))


def _run_rows(
    pipeline: Pipeline, rows: Iterable[Mapping[str, RawValue]], threads: ThreadPoolExecutor
) -> Iterator[Processed | InvalidInput]:
    chunk = list(rows)
    parts = [chunk[first : first + _ROWS_AT_ONCE] for first in range(0, len(chunk), _ROWS_AT_ONCE)]
    return itertools.chain.from_iterable(threads.map(lambda part: _run(pipeline, part), parts))


def _run(pipeline: Pipeline, rows: Sequence[Mapping[str, RawValue]]) -> list[Processed | InvalidInput]:
    results: list[Processed | InvalidInput] = []
    for row in rows:
        try:
            results.append(pipeline.run(row))
        except InvalidInput as error:
            results.append(error)
    return results


def _array_in_file(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array in a file that has no name, so that it goes with the process whatever ends it."""
    with tempfile.TemporaryDirectory(prefix="lepton-") as directory:
        return np.memmap(Path(directory) / "rows", dtype=dtype, mode="w+", shape=shape)


def _store(arrays: dict[str, Array], index: int, result: Processed) -> None:
    for name, array in result.tensors.items():
        if array.shape != arrays[name].shape[1:]:
            first = list(arrays[name].shape[1:])
            raise InvalidInput(
                f"Row {index} becomes {name} of shape {list(array.shape)}, the first row of {first}.",
                reason="UNEVEN_SHAPES",
                fix="Give the pipeline a step that makes all rows the same size: resize, pad, or tokenize with pad.",
            )
        arrays[name][index] = array


def _refusal(refused: list[tuple[int, InvalidInput]], count: int) -> InvalidInput:
    named = ", ".join(str(index) for index, _ in refused[:_NAMED_ROWS])
    more = ", …" if len(refused) > _NAMED_ROWS else ""
    return InvalidInput(
        f"{len(refused)} of {count} rows cannot be prepared (rows {named}{more}). The first: {refused[0][1].message}.",
        reason="BROKEN_ROWS",
        fix="Look at them with data.profile(), drop them with data.clean().",
    )
