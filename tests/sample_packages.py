"""Small packages with real models in them, for tests."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.package import DESCRIPTION_FILE, Package, write_package

Document = dict[str, Any]


def description(**changes: Any) -> Document:
    """lepton.yaml of a model that doubles four numbers."""
    document: Document = {
        "format": 1,
        "name": "doubler",
        "description": "把四个数乘以二。",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "dtype": "FP32", "shape": [-1, 4]}],
    }
    return document | changes


def onnx_model(
    *, factor: float = 2.0, batch: str | int = "batch", location: str | None = None, domain: str = "", **external: str
) -> onnx.ModelProto:
    """y = x · factor. With `location`, the factor lies in an external file."""
    weight = numpy_helper.from_array(np.array([factor], dtype=np.float32), name="factor")
    if location is not None:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "length": "4", **external}.items():
            weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"], domain=domain)],
        "doubler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def onnx_bytes(**options: Any) -> bytes:
    """The model above as a file."""
    return onnx_model(**options).SerializeToString()


def onnx_package(
    directory: Path,
    *,
    model: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
    weights: Sequence[str] = (),
    **changes: Any,
) -> Package:
    """A package of the model above, or of other bytes under its name. Some of the files may hold its weights."""
    content = onnx_bytes() if model is None else model
    described = {"file": "model.onnx", "format": "onnx", "weights": list(weights)}
    return write_package(directory, description(model=described, **changes), {"model.onnx": content, **(files or {})})


def variant_package(directory: Path, original: Package, *, model: bytes | None = None, **measured: Any) -> Package:
    """A variant of a package as `lepton optimise` writes it, measured on this machine; the model by default the same
    with a further node."""
    document = original.description.model_dump(mode="json", exclude_defaults=True)
    section = {
        "of": original.digest,
        "method": "int8-minmax-u8s8",
        "cpu": this_cpu().model,
        "flags": list(this_cpu().flags),
        "engine": "onnxruntime 1",
        "batch": 1,
        "threads": 1,
        "time_ms": 1.0,
        "speed_up": 2.0,
        "speed_up_interval": [1.9, 2.1],
        "metric": "agreement",
        "loss": 0.001,
        "loss_interval": [0.0, 0.004],
        "max_loss": 0.005,
        "rows": 800,
        "size_bytes": 100,
        "memory_bytes": 1000,
    }
    content = onnx_bytes(batch="rows") if model is None else model
    own = {original.description.model.file, *original.description.model.weights, DESCRIPTION_FILE}
    files: dict[str, bytes | Path] = {name: original.path(name) for name in original.files if name not in own}
    described = {**document, "model": {"file": "model.onnx", "format": "onnx"}, "optimised": section | measured}
    return write_package(directory, described, {**files, "model.onnx": content})


def torch_package(directory: Path, archive: Path, **changes: Any) -> Package:
    """A package of an exported program."""
    document = description(model={"file": "model.pt2", "format": "torch_export"}, **changes)
    return write_package(directory, document, {"model.pt2": archive})


def rewrite_zip(source: Path, target: Path, changes: Mapping[str, bytes | None], *, compression: int = 0) -> Path:
    """A copy of a zip with members replaced, added (by their name below the root) or removed (None)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        root = old.namelist()[0].split("/")[0]
        kept = {name.removeprefix(f"{root}/"): old.read(name) for name in old.namelist()}
        for name, content in (kept | dict(changes)).items():
            if content is not None:
                new.writestr(f"{root}/{name}", content)
    return target
