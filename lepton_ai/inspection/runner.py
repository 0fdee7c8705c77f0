"""Runs an ONNX or torch.export model: in a trial on this machine, and inside Triton's Python backend.

Exported Triton repositories hold this file, as it is, as their `model.py`: it needs numpy, and ONNX Runtime or PyTorch,
and nothing else of Lepton. Which model to run stands in the parameters of `config.pbtxt`: `format` and `file`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Mapping[str, Any]], Sequence[Any]]
"""From arrays by the name of their input to arrays in the order of the outputs."""


def open_model(path: Path, model_format: str, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
    """Open a model file of the format "onnx" or "torch_export". Raises whatever its runtime raises."""
    return {"onnx": _open_onnx, "torch_export": _open_torch_export}[model_format](path, inputs, outputs)


def _open_onnx(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # instances are the parallelism
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(list(outputs), {name: _text(feeds[name]) for name in inputs})


def _text(array: Any) -> Any:
    """ONNX strings are str, tensors on the wire hold bytes; everything else passes untouched."""
    if array.dtype != np.object_:
        return array
    decoded = [element.decode() if isinstance(element, bytes) else element for element in array.ravel()]
    return np.array(decoded, dtype=np.object_).reshape(array.shape)


def _open_torch_export(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
    import torch

    torch.set_num_threads(1)
    module = torch.export.load(str(path)).module()

    def run(feeds: Mapping[str, Any]) -> Sequence[Any]:
        arguments = [torch.from_numpy(np.require(feeds[name], requirements="W")) for name in inputs]
        with torch.inference_mode():
            answer = module(*arguments)
        if isinstance(answer, Mapping):
            answer = [answer[name] for name in outputs]
        elif isinstance(answer, torch.Tensor):
            answer = [answer]
        return [tensor.detach().numpy() for tensor in answer]

    return run


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the model that the configuration names."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        path = Path(args["model_repository"]) / args["model_version"] / parameters["file"]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        inputs = [tensor["name"] for tensor in config["input"]]
        self._run = open_model(path, parameters["format"], inputs, self._outputs)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One answer for every request, in order; what fails in one leaves the others alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        import triton_python_backend_utils as pb_utils  # there is none outside Triton

        feeds = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            answers = self._run(feeds)
        except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to its request alone
            pb_utils.Logger.log_error(f"{type(error).__name__}: {error}")
            failed = pb_utils.TritonError(f"The model failed on this input: {type(error).__name__}.")
            return pb_utils.InferenceResponse(error=failed)
        named = zip(self._outputs, answers, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in named])
