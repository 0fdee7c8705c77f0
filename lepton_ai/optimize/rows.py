"""The rows that candidates are calibrated with and judged by, as the model takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.archive import replacing
from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.right_answers import right_answers
from lepton_ai.package import Package
from lepton_ai.tensors import Array, dtype_name, from_proto

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

_INPUT, _TARGETS = "input/", "targets"


@dataclass(frozen=True)
class Rows:
    """Tensors by the name of the model's input, [rows, …] each, and what should be answered, where that is known."""

    inputs: Mapping[str, Array]
    targets: Array | None = None
    """Names, or numbers, of every row."""

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, rows: Array | slice) -> Rows:
        """Only these rows."""
        inputs = {name: array[rows] for name, array in self.inputs.items()}
        return Rows(inputs, None if self.targets is None else self.targets[rows])

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        sha = hashlib.sha256()
        for name, array in sorted(self.inputs.items()):
            sha.update(f"{name} {array.dtype} {array.shape}\n".encode())
            sha.update(
                np.ascontiguousarray(array).tobytes() if array.dtype.kind != "O" else repr(array.tolist()).encode()
            )
        sha.update(repr(None if self.targets is None else self.targets.tolist()).encode())
        return sha.hexdigest()

    def save(self, path: Path) -> None:
        """Write them to a file. Raises ResourceExhausted for a full disk."""
        arrays = {_INPUT + name: _texts(array) for name, array in self.inputs.items()}
        if self.targets is not None:
            arrays[_TARGETS] = _texts(self.targets)
        with replacing(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Rows:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        targets = arrays.pop(_TARGETS, None)
        inputs = {name.removeprefix(_INPUT): array for name, array in arrays.items()}
        return cls({name: a.astype(np.object_) if a.dtype.kind == "U" else a for name, a in inputs.items()}, targets)


def golden_rows(package: Package) -> Rows:
    """The inputs of the package's golden samples. Raises InvalidInput where there are none."""
    items = package.golden_items()
    if not items:
        raise InvalidInput.of_field(
            "data",
            "is missing, and the package has no golden samples to measure with either",
            fix="Give rows like those that the model will be asked: lepton optimise … --data DIR.",
        )
    document = package.pipeline_document()
    if document is None:
        rows = [{name: from_proto(value.tensor) for name, value in sample.item.inputs.items()} for sample in items]
    else:
        from lepton_ai.pipeline import Pipeline, raw_inputs

        pipeline = Pipeline.load(document, package.pipeline_files())
        rows = [dict(pipeline.run(raw_inputs(sample.item)).tensors) for sample in items]
    return _checked(package, Rows({name: np.stack([row[name] for row in rows]) for name in rows[0]}))


def dataset_rows(package: Package, data: Dataset) -> Rows:
    """A data set run through the package's pipeline; without one, its tensor columns as they are.

    Raises InvalidInput that names the rows which the pipeline refuses, and for tensors of another shape or type.
    """
    if len(data) == 0:
        raise InvalidInput.of_field("data", "holds no rows", reason="EMPTY_DATA")
    document = package.pipeline_document()
    if document is None:
        names = [spec.name for spec in package.description.inputs]
        rows = list(data.rows([column.name for column in as_named(data, names).schema.inputs]))
        inputs = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in names}
        inputs = {n: _cast(a, s.dtype) for (n, a), s in zip(inputs.items(), package.description.inputs, strict=True)}
    else:
        from lepton_ai.pipeline import Pipeline
        from lepton_ai.training.prepared import prepare_inputs

        pipeline = Pipeline.load(document, package.pipeline_files())
        inputs = prepare_inputs(as_named(data, list(pipeline.inputs)), pipeline)
    return _checked(package, Rows(inputs, right_answers(package, data)))


def as_named(data: Dataset, wanted: list[str]) -> Dataset:
    """Its only input column under the name of the model's only input: folders of pictures have "image" always.

    Raises InvalidInput for columns that are missing.
    """
    have = [column.name for column in data.schema.inputs]
    missing = [name for name in wanted if name not in have]
    if not missing:
        return data
    if len(wanted) > 1 or len(have) > 1:
        fix = f"It has {', '.join(have) or 'none'}; the model takes {', '.join(wanted)}."
        raise InvalidInput.of_field("data", f"has no column {missing[0]!r}", fix=fix)
    from lepton_ai.datasets import Dataset, Schema

    columns = tuple(replace(each, name=wanted[0]) if each.name == have[0] else each for each in data.schema)
    names = [wanted[0] if name == have[0] else name for name in data.table.column_names]
    return Dataset(data.table.rename_columns(names), Schema(columns), name=data.name)


def _cast(array: Array, dtype: str) -> Array:
    from lepton_ai.tensors import numpy_dtype

    return array.astype(numpy_dtype(dtype)) if dtype not in ("BYTES", dtype_name(array.dtype)) else array


def _checked(package: Package, rows: Rows) -> Rows:
    for spec in package.description.inputs:
        array = rows.inputs.get(spec.name)
        if array is None:
            raise InvalidInput.of_field("data", f"gives nothing for the model's input {spec.name!r}")
        fits = array.ndim == len(spec.shape) and all(
            wanted in (-1, got) for wanted, got in zip(spec.shape[1:], array.shape[1:], strict=True)
        )
        if not fits or (spec.dtype != "BYTES" and dtype_name(array.dtype) != spec.dtype):
            raise InvalidInput.of_field(
                "data",
                f"becomes {dtype_name(array.dtype)} {list(array.shape[1:])} for the model's input {spec.name!r}, "
                f"which takes {spec.dtype} {list(spec.shape[1:])}",
                reason="WRONG_SHAPE",
                fix="Give rows like those that the model is asked.",
            )
    return rows


def _texts(array: Array) -> Array:
    if array.dtype.kind != "O":
        return array
    return np.array([e.decode() if isinstance(e, bytes) else str(e) for e in array.ravel()]).reshape(array.shape)
