"""A trained model as a package: its network as ONNX, its pipeline, labels and golden samples."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.archive import replacing
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models.answers import answer_rows
from lepton_ai.models.families import TRAINED_FILE
from lepton_ai.models.golden import GoldenSample, expectation
from lepton_ai.models.saving import save_model
from lepton_ai.package import Package, write_package
from lepton_ai.pipeline import Output
from lepton_ai.tensors import Array, dtype_name, numpy_dtype
from lepton_ai.training.processes import is_first_process

if TYPE_CHECKING:
    from lepton_ai.models.model import Model

_MODEL_FILE = "model.onnx"
_PROFILE_FILE = "profile.json"
_FREE_SIZE = 8
"""Stands for a dimension that depends on the item while the network is traced."""


def write_model_package(
    model: Model, directory: Path, *, name: str, description: str = "", feedback: Mapping[str, Any] | None = None
) -> Package:
    """Write the package. Raises FailedPrecondition for an untrained model or a directory that is not empty.

    Its lineage and the figures of its best epoch stand in lepton.yaml.
    """
    if model.pipeline is None or model.task is None:
        raise FailedPrecondition(
            "The model has not been trained.",
            reason="NOT_TRAINED",
            fix="Call fit first. Or export a module that was trained without Lepton with torch.export.save, and make a "
            "package of the file: lepton init model.pt2.",
        )
    if not name:
        raise InvalidInput.of_field("name", "is missing", fix='Give the model one: name="cats-dogs".')
    inputs = model.pipeline.outputs
    outputs = _output_specs(model)
    post = model.task.postprocess()
    golden, golden_files = _golden(model.golden)
    document: dict[str, Any] = {
        "format": 1,
        "name": name,
        "description": description or _describe(model),
        "model": {"file": _MODEL_FILE, "format": "onnx"},
        "inputs": [{"name": each.name, "dtype": each.dtype, "shape": [-1, *each.shape]} for each in inputs],
        "outputs": outputs,
        "preprocess": json.loads(model.pipeline.document_json),
        "golden": golden,
        **_about(model),
    }
    if feedback:
        document["feedback"] = dict(feedback)
    files: dict[str, bytes | Path] = {**model.pipeline.to_proto().files, **golden_files}
    if model.input_profile is not None:
        document["profile"], files[_PROFILE_FILE] = _PROFILE_FILE, model.input_profile.to_json()
    if post is not None:
        document["postprocess"], post_files = post
        files |= post_files
    names = [output["name"] for output in outputs]
    files[_MODEL_FILE] = export_onnx(model.network, example_batch(inputs), [each.name for each in inputs], names)
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        if is_first_process():  # no other one saves
            # The same run again is the same package, however long it took.
            history = model.history.without_clock()
            files[TRAINED_FILE] = save_model(model, Path(place) / TRAINED_FILE, history=history)
        return write_package(directory, document, files)


def export_onnx(network: nn.Module, example: Sequence[Tensor], inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """A network as ONNX with a free batch dimension. `example` is one batch of inputs.

    Raises InvalidInput naming what ONNX cannot express.
    """
    axes = {name: {0: "batch"} for name in (*inputs, *outputs)}
    with tempfile.TemporaryDirectory(prefix="lepton-") as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing warns of, the comparison of golden samples decides
        path = Path(directory) / _MODEL_FILE
        try:
            torch.onnx.export(
                _Named(network, outputs).eval(),
                tuple(example),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                dynamo=False,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise InvalidInput(
                f"The network cannot be converted to ONNX: {str(error).splitlines()[0]}", reason="NOT_CONVERTIBLE"
            ) from error
        return path.read_bytes()


def write_onnx(model: Model, path: Path) -> Path:
    """Write a model's network alone. Raises FailedPrecondition for an untrained model, ResourceExhausted."""
    if model.pipeline is None or model.task is None:
        raise FailedPrecondition("The model has not been trained.", reason="NOT_TRAINED", fix="Call fit first.")
    inputs = model.pipeline.outputs
    names = [str(output["name"]) for output in _output_specs(model)]
    content = export_onnx(model.network, example_batch(inputs), [each.name for each in inputs], names)
    with replacing(path) as file:
        file.write(content)
    return path


class _Named(nn.Module):
    """A network that answers a tuple in the order of the output names."""

    def __init__(self, network: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._outputs = tuple(outputs)

    def forward(self, *inputs: Tensor) -> Any:
        answers = self.network(*inputs)
        return tuple(answers[name] for name in self._outputs) if isinstance(answers, Mapping) else answers


def example_batch(inputs: Sequence[Output]) -> list[Tensor]:
    """A batch of two rows: with one, a free dimension of size 1 would be taken for a fixed one."""
    shapes = [[2, *(_FREE_SIZE if size < 0 else size for size in each.shape)] for each in inputs]
    return [
        torch.from_numpy(np.zeros(shape, dtype=numpy_dtype(each.dtype)))
        for shape, each in zip(shapes, inputs, strict=True)
    ]


def _output_specs(model: Model) -> list[dict[str, Any]]:
    """Names, dtypes and shapes of what the network answers, from running it."""
    assert model.pipeline is not None and model.task is not None  # noqa: S101 - the caller has checked
    if not model.golden:
        raise FailedPrecondition("The model has no golden samples.", fix="Call fit, which chooses some.")
    answer = answer_rows(model.network, model.task, [model.pipeline.run(model.golden[0].inputs)])[0]
    return [
        {"name": name, "dtype": dtype_name(np.asarray(value).dtype), "shape": [-1, *np.shape(value)]}
        for name, value in answer.outputs.items()
    ]


def _golden(samples: Sequence[GoldenSample]) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    files: dict[str, bytes] = {}
    sections = []
    for index, sample in enumerate(samples):
        inputs: dict[str, Any] = {}
        for name, value in sample.inputs.items():
            if isinstance(value, bytes):
                path = f"golden/{index}-{len(files)}.bin"
                files[path] = value
                inputs[name] = {"file": path}
            elif isinstance(value, np.ndarray):
                inputs[name] = {"values": value.tolist(), **_dtype_of(value)}
            elif value is not None:
                inputs[name] = value
        sections.append({"inputs": inputs, "expect": expectation(sample)})
    return sections, files


def _dtype_of(array: Array) -> dict[str, str]:
    return {} if array.dtype == np.float32 else {"dtype": dtype_name(array.dtype)}


def _about(model: Model) -> dict[str, Any]:
    """The figures of the best epoch, and where the model comes from."""
    history, known = model.history.without_clock(), model.lineage
    number = history.best_epoch or len(history)
    best = history.epochs[number - 1] if 0 < number <= len(history) else {}
    metrics = {figure: float(value) for figure, value in best.items() if math.isfinite(value)}
    data, settings = known.get("data", {}), known.get("settings", {})
    lineage = {
        "parent": known.get("parent", ""),
        "data": str(data.get("source", ""))[:1000],
        "data_digest": data.get("digest", ""),
        "rows": known.get("rows", 0),
        "parameters": {key: value for key, value in settings.items() if isinstance(value, bool | int | float | str)},
    }
    return {"metrics": metrics, "lineage": {key: value for key, value in lineage.items() if value}}


def _describe(model: Model) -> str:
    task = model.task.name if model.task is not None else ""
    rows = model.lineage.get("rows")
    return f"{type(model).__name__} for {task}" + (f", trained on {rows} rows." if rows else ".")
