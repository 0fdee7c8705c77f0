"""Whatever people have their rows in - arrays, data frames, records, PyTorch's data sets - as a data set of Lepton."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lepton_ai.datasets import Cleaned, Dataset, from_arrays, from_rows
from lepton_ai.datasets.arrow.foreign import frame_columns, is_frame
from lepton_ai.datasets.inference import infer_column
from lepton_ai.datasets.memory import UNNAMED_TARGET
from lepton_ai.datasets.model_rows import ModelRow, model_rows
from lepton_ai.datasets.schema import unknown_column
from lepton_ai.errors import InvalidInput
from lepton_ai.file import File
from lepton_ai.pipeline import Pipeline, RawValue, raw_inputs
from lepton_ai.prediction import Input, takes_only_a_file, to_item

Data = Dataset | tuple[Any, Any] | Mapping[str, Any] | Iterable[Any]
"""A data set; a pair of inputs and targets; a data frame; arrays by column name; records or pairs one by one."""

Examples = Input | Tensor | Sequence[Input] | Iterable[Any] | Dataset


def as_dataset(data: Data, targets: Any = None) -> Dataset:
    """Rows as a data set; a data set as it is. A DataLoader stands for the data set that it loads.

    The target of columns is the one that `targets` names, or those of a list of names; else the one with a usual name:
    label, target, y, class …
    Raises InvalidInput for what holds no rows.
    """
    if isinstance(targets, str):
        return _with_target_column(data, targets)
    if targets is not None:
        return _with_targets(*(_parted(data, targets) or (data, targets)))
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Cleaned):  # what data.clean() gives: the data and a report
        return data.data
    if isinstance(data, DataLoader):
        return as_dataset(data.dataset)  # type: ignore[arg-type] # it is read by number
    if isinstance(data, TensorDataset):
        return as_dataset(data.tensors)
    if isinstance(data, tuple) and len(data) == 2:
        return as_dataset(*data)
    if is_frame(data) or isinstance(data, Mapping | np.ndarray | Tensor):
        return from_arrays(data)
    return _from_examples(data)


def examples_of(inputs: Examples, pipeline: Pipeline) -> tuple[list[Mapping[str, RawValue]], bool]:
    """Raw inputs for a pipeline, and whether they were several examples rather than one.

    An array with one dimension more than an example has holds several. Columns of tables that the model does not take
    are passed over. Raises InvalidInput for what cannot be sent, and for a column that is lacking.
    """
    if isinstance(inputs, Dataset) or is_frame(inputs):
        return [_contents(row) for row in model_rows(inputs, pipeline.inputs, pipeline.readings)], True
    if hasattr(inputs, "to_list") and not _is_named(inputs, pipeline):  # a series of pandas or Polars: examples
        inputs = inputs.to_list()
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu().numpy()
    if isinstance(inputs, np.ndarray) and _is_numbers(inputs, pipeline):
        inputs = inputs.reshape(-1).tolist()
    if isinstance(inputs, np.ndarray) and (inputs.ndim == _dimensions(pipeline) + 1 or _is_texts(inputs, pipeline)):
        inputs = list(inputs)
    paths = takes_only_a_file(pipeline.inputs)
    if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes):
        return [raw_inputs(to_item(each, texts_are_paths=paths)) for each in inputs], True
    return [raw_inputs(to_item(inputs, texts_are_paths=paths))], False  # type: ignore[arg-type] # it refuses the rest


def _is_named(series: Any, pipeline: Pipeline) -> bool:
    """Whether a series is one row of a data frame, and so bears the names of inputs."""
    return any(str(name) in pipeline.inputs for name in getattr(series, "index", ()))


def _is_texts(array: np.ndarray[Any, Any], pipeline: Pipeline) -> bool:
    """Whether an array holds several texts or files, and not one example that is an array."""
    is_list = array.ndim == 1 and "tensor" not in pipeline.inputs.values()
    return is_list and (array.dtype.kind in "US" or isinstance(next(iter(array), None), str | bytes))


def _is_numbers(array: np.ndarray[Any, Any], pipeline: Pipeline) -> bool:
    """Whether an array holds a number for each of several examples, perhaps each in a list of its own."""
    is_column = array.ndim in (1, 2) and array.size == len(array)
    return is_column and list(pipeline.inputs.values()) == ["number"]


def _dimensions(pipeline: Pipeline) -> int:
    """Of one example, where that is an array; else more than any array has."""
    first = json.loads(pipeline.document_json)["steps"][0]
    if first["op"] == "sequence":
        return 2
    return len(first["shape"]) if first["op"] == "tensor" and len(pipeline.inputs) == 1 else 64


def _with_target_column(data: Data, name: str) -> Dataset:
    """The rows with the column of this name as their target. Raises InvalidInput when there is none."""
    rows = as_dataset(data)
    schema = rows.schema
    if schema.target is not None:
        schema = schema.with_column(replace(schema.target, role="input"))
    schema = schema.with_column(replace(schema[name], role="target"))
    if not isinstance(data, Dataset):  # whose kinds were decided before
        schema = schema.with_column(infer_column(name, rows.table.column(name), target=True))
    return rows.with_schema(schema)


def _parted(data: Any, names: Any) -> tuple[dict[str, Any], pa.Table] | None:
    """Inputs and targets, where `names` is a list of columns of the data, and no text for each of the rows."""
    if not (isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names)):
        return None
    if not (is_frame(data) or isinstance(data, Mapping)):
        return None
    columns = as_dataset(data).table
    if len(names) == len(columns) or not set(names) & set(columns.column_names):
        return None
    for name in names:
        if name not in columns.column_names:
            raise unknown_column(name, columns.column_names)
    return {name: columns.column(name) for name in columns.column_names if name not in names}, columns.select(names)


def _with_targets(inputs: Any, targets: Any) -> Dataset:
    if isinstance(inputs, Dataset):
        raise InvalidInput.of_field(
            "targets",
            "does not go with a data set, which has a target column",
            fix='Name it: data.with_schema(data.schema.with_roles(NAME="target")).',
        )
    name = getattr(targets, "name", None)  # of a column of a data frame
    target = name if isinstance(name, str) and name else UNNAMED_TARGET
    names: tuple[str, ...] = ()
    if is_frame(targets):
        columns = frame_columns(targets)
        names = tuple(map(str, columns)) if len(columns) > 1 else ()
        first = next(iter(columns))
        target = target if names or name else first
        targets = np.stack([each.to_numpy() for each in columns.values()], axis=1) if names else columns[first]
    _check_texts(target, targets)
    if isinstance(targets, list | tuple) and _are_vectors(targets):
        targets = np.array(targets)
    if getattr(targets, "ndim", 1) == 2 and targets.shape[1] == 1:
        targets = targets.reshape(-1)
    data = from_arrays(inputs, targets, target=target)
    return data.with_schema(data.schema.with_column(replace(data.schema[target], categories=names))) if names else data


def _check_texts(target: str, targets: Any) -> None:
    """Raises InvalidInput for an array of texts with gaps, which NumPy writes into it as if they were a name."""
    if not isinstance(targets, np.ndarray) or targets.dtype.kind != "U":
        return
    missing = np.flatnonzero(targets == "nan")
    if missing.size:
        raise InvalidInput.of_field(
            target,
            f"{missing.size} of {len(targets)} rows have the text 'nan', which NumPy makes of a missing value among "
            f"texts, the first is row {missing[0]}",
            reason="MISSING_TARGET",
            fix="Leave these rows out; if it is a name, give a list.",
        )


def _are_vectors(targets: Sequence[Any]) -> bool:
    """Whether every row has a list of as many numbers."""
    lengths = {len(row) if isinstance(row, list | tuple) else 0 for row in targets}
    return (
        len(lengths) == 1 and lengths != {0} and all(isinstance(each, int | float) for row in targets for each in row)
    )


def _contents(row: ModelRow) -> dict[str, RawValue]:
    return {name: value.read() if isinstance(value, File) else value for name, value in row.items()}


def _from_examples(data: Any) -> Dataset:
    """Records, pairs of an input and a target, or inputs alone, one after the other."""
    if isinstance(data, str | bytes | Path):
        raise InvalidInput.of_field(
            "data", "is a text or a path, not rows", fix="Read it with read_folder or read_table of lepton_ai.datasets."
        )
    iterator = _iterate(data)
    first = next(iterator, None)
    if first is None:
        raise InvalidInput("There are no rows.", reason="EMPTY_DATA", fix="Give at least two to train on.")
    rows = chain([first], iterator)
    if isinstance(first, Mapping):
        return from_rows(rows)
    if isinstance(first, tuple) and len(first) == 2:
        return from_rows(_record(*pair) for pair in rows)
    return from_arrays(list(rows))


def _record(example: Any, target: Any) -> dict[str, Any]:
    return {**(example if isinstance(example, Mapping) else {"x": example}), UNNAMED_TARGET: target}


def _iterate(data: Any) -> Iterator[Any]:
    if isinstance(data, torch.utils.data.Dataset) and hasattr(data, "__len__"):
        return (data[index] for index in range(len(data)))
    if not isinstance(data, Iterable):
        raise InvalidInput.of_field(
            "data",
            f"is a {type(data).__name__}, which holds no rows",
            fix="Give a data set, (inputs, targets), a data frame or records.",
        )
    return iter(data)
