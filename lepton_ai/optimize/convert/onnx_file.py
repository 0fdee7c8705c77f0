"""ONNX of a torch.export archive."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from lepton_ai.inspection.runner import open_model
from lepton_ai.models.packaging import export_onnx
from lepton_ai.optimize.convert.conversion import Answer
from lepton_ai.package import Package
from lepton_ai.tensors import numpy_dtype

_FREE_SIZE = 8


def to_onnx(package: Package, directory: Path) -> tuple[Path, Answer]:
    """Write the package's archive as ONNX; ONNX stays as it is. Raises InvalidInput for what ONNX cannot express."""
    described, path = package.description, directory / "model.onnx"
    inputs, outputs = ([spec.name for spec in specs] for specs in (described.inputs, described.outputs))
    if described.model.format == "onnx":
        for name in (described.model.file, *described.model.weights):
            shutil.copyfile(package.path(name), directory / Path(name).name)
        path = directory / Path(described.model.file).name
    else:
        program = torch.export.load(str(package.path(described.model.file))).module()
        program.train = lambda mode=True: program  # type: ignore[method-assign] # it refuses; the exporter insists
        shapes = [[2, *(_FREE_SIZE if size < 0 else size for size in spec.shape[1:])] for spec in described.inputs]
        example = [
            torch.zeros(shape, dtype=torch.from_numpy(_one(spec.dtype)).dtype)
            for shape, spec in zip(shapes, described.inputs, strict=True)
        ]
        path.write_bytes(export_onnx(program, example, inputs, outputs))
    return path, open_model(path, "onnx", inputs, outputs)


def _one(dtype: str) -> Any:
    import numpy as np

    return np.zeros(1, dtype=numpy_dtype(dtype))
