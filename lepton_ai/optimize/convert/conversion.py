"""Converts a package's model, and says how far the answers of what came out are from the original's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.inspection.runner import open_model
from lepton_ai.optimize.measure.speed import Load, Speed, batch_of, compare_speed
from lepton_ai.optimize.rows import Rows, golden_rows
from lepton_ai.package import Package
from lepton_ai.package.directory import new_directory
from lepton_ai.tensors import Array, numpy_dtype

_RANDOM_ROWS = 8
_TIMING_S = 5.0
_FREE_SIZE = 8
"""Of a free dimension in random inputs."""

Answer = Callable[[Mapping[str, Array]], Sequence[Any]]
Converter = Callable[[Package, Path], tuple[Path, Answer]]
"""Writes the model into a folder; the file, and a way to ask it. Raises FailedPrecondition where its tool is missing,
InvalidInput for a model that it cannot convert."""

FORMATS: Mapping[str, str] = {
    "onnx": "lepton_ai.optimize.convert.onnx_file:to_onnx",
    "torch-export": "lepton_ai.optimize.convert.exported_program:to_torch_export",
    "openvino": "lepton_ai.optimize.convert.openvino_ir:to_openvino",
    "aot-inductor": "lepton_ai.optimize.convert.exported_program:to_aot_inductor",
}
_NOT_HERE: Mapping[str, str] = {
    "tflite": "Its converters need TensorFlow, or an older PyTorch than Lepton.",
    "tensorrt": "It needs an NVIDIA GPU and TensorRT: Triton's images have both, and make engines of ONNX there.",
}


@dataclass(frozen=True)
class Conversion:
    """A converted model, compared."""

    format: str
    path: Path
    largest_difference: float
    """Of any output value, over all rows that were compared."""
    largest_value: float
    """The greatest magnitude of the original's, to hold the difference against."""
    rows: int
    size_bytes: int
    speed: Speed
    """Of one row on one thread, in processor time, beside the original in the runtime that serves it."""


def convert(package: Package, wanted: str, directory: Path | str) -> Conversion:
    """Write the package's model in the format `wanted` into a new folder and compare it with the original: how far its
    answers are from the original's, and how much faster it is.

    Raises InvalidInput for an unknown format or a model that it cannot express, Unsupported for one that has no
    converter here, FailedPrecondition where its tool is not installed.
    """
    if wanted in _NOT_HERE:
        raise Unsupported(f"There is no conversion to {wanted} here. {_NOT_HERE[wanted]}")
    if wanted not in FORMATS:
        raise InvalidInput.of_field("format", f"there is no {wanted!r}", fix=f"There are {', '.join(FORMATS)}.")
    root = new_directory(directory)
    root.mkdir(parents=True, exist_ok=True)
    module, _, name = FORMATS[wanted].partition(":")
    converter: Converter = getattr(import_module(module), name)
    path, answer = converter(package, root)
    original, rows = _original(package), _rows(package)
    difference, value = compare(original, answer, rows)
    one = batch_of(rows.inputs, 1)
    speed = compare_speed(original, answer, one, Load(1, 1), budget_s=_TIMING_S, clock=time.process_time)
    size = sum(file.stat().st_size for file in root.iterdir())
    return Conversion(wanted, path, difference, value, len(rows), size, speed)


def compare(original: Answer, converted: Answer, rows: Rows) -> tuple[float, float]:
    """The greatest difference of any output over the rows, asked one by one, and the greatest magnitude."""
    difference = value = 0.0
    for row in range(len(rows)):
        feeds = {name: array[row : row + 1] for name, array in rows.inputs.items()}
        for right, got in zip(original(feeds), converted(feeds), strict=True):
            wanted = np.asarray(right, dtype=np.float64)
            difference = max(difference, float(np.abs(wanted - np.asarray(got, dtype=np.float64)).max(initial=0)))
            value = max(value, float(np.abs(wanted).max(initial=0)))
    return difference, value


def _original(package: Package) -> Answer:
    described = package.description
    inputs, outputs = ([spec.name for spec in specs] for specs in (described.inputs, described.outputs))
    return open_model(package.path(described.model.file), described.model.format, inputs, outputs)


def _rows(package: Package) -> Rows:
    """Golden samples, and random rows where any value is a possible one: pictures and other plain numbers."""
    golden = golden_rows(package) if package.description.golden else None
    generator = np.random.default_rng(0)
    random: dict[str, Array] = {}
    for spec in package.description.inputs:
        shape = [_RANDOM_ROWS, *(_FREE_SIZE if size < 0 else size for size in spec.shape[1:])]
        if spec.dtype == "UINT8":
            random[spec.name] = generator.integers(0, 256, shape, dtype=np.uint8)
        elif spec.dtype in ("FP16", "FP32", "FP64"):
            random[spec.name] = generator.normal(size=shape).astype(numpy_dtype(spec.dtype))
    possible = len(random) == len(package.description.inputs)
    if golden is None:
        if not possible:
            fix = "Give the package golden samples: inputs of whole numbers or texts cannot be made up."
            raise InvalidInput.of_field("golden", "is missing", fix=fix)
        return Rows(random)
    same = possible and all(random[name].shape[1:] == array.shape[1:] for name, array in golden.inputs.items())
    if not same:
        return golden
    return Rows({name: np.concatenate([array, random[name]]) for name, array in golden.inputs.items()})
