"""Runs one ONNX or torch.export model inside Triton's Python backend. A copy lies beside each model that is loaded.

Every request is run on its own: the inference service has batched already. It holds either the model's inputs or raw
items, which the model's pipeline turns into inputs right here (`items.py`). Errors stay with their request, and their
texts hold nothing of the model's insides; those go to Triton's log. Why a model cannot be opened is said in full: that
is for whoever pushed it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Feeds = Mapping[str, Any]
_MAX_REASON = 2000
Runner = Callable[[Feeds, bool], Sequence[Any]]
"""Runs the model, on all cores where the second argument is true and the model can, else on one thread."""

# What the inference service names in the same way, in `repository.py`.
_ITEMS = "lepton.items"
_RESULTS = "lepton.results"
_TIMED = "lepton_timed"
_WIDE = "lepton_wide"


class _NotText(Exception):
    """A string from the caller is not text."""


class _WrongOutput(Exception):
    """The model gives an output of another type than its package says."""


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the model. What this raises becomes the reason why the model cannot be loaded."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        path = Path(args["model_repository"]) / args["model_version"] / parameters["file"]
        inputs = [tensor["name"] for tensor in config["input"] if tensor["name"] != _ITEMS]
        self._outputs = {
            tensor["name"]: pb_utils.triton_string_to_numpy(tensor["data_type"])
            for tensor in config["output"]
            if tensor["name"] != _RESULTS
        }
        open_model = {"onnx": _open_onnx, "torch_export": _open_torch_export}[parameters["format"]]
        try:
            self._run = open_model(path, inputs, list(self._outputs), int(parameters["wide_threads"]))
            self._items = _open_pipeline(path.parent, config, parameters)
        except Exception as error:  # noqa: BLE001 - a loader may raise anything
            pb_utils.Logger.log_error(f"{type(error).__name__}: {error}")
            message = f"The {parameters['format']} model cannot be opened: {_reason(error)}."
            raise pb_utils.TritonModelException(message) from None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One answer for every request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        feeds = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        options = _options(request)
        wide = options.get(_WIDE) == "1"
        try:
            if _ITEMS in feeds:
                return self._answer_items(feeds[_ITEMS], wide, timed=options.get(_TIMED) == "1")
            return pb_utils.InferenceResponse(output_tensors=self._tensors(self._run(feeds, wide)))
        except _NotText as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        except _WrongOutput as error:
            return _failure(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to its request alone
            pb_utils.Logger.log_error(f"{type(error).__name__}: {error}")
            return _failure(f"The model failed on this input: {_summary(error)}.")

    def _answer_items(self, items: Any, wide: bool, *, timed: bool) -> Any:
        if self._items is None:
            return _failure("This model's pipeline does not run here.")
        answered = self._items.answer(items.tolist(), lambda feeds: self._run(feeds, wide), timed=timed)
        tensors = self._tensors(answered.outputs) if answered.outputs is not None else []
        results = np.array([result.SerializeToString() for result in answered.results], dtype=np.object_)
        return pb_utils.InferenceResponse(output_tensors=[*tensors, pb_utils.Tensor(_RESULTS, results)])

    def _tensors(self, values: Sequence[Any]) -> list[Any]:
        tensors = []
        for (name, dtype), value in zip(self._outputs.items(), values, strict=True):
            if value.dtype != dtype:
                raise _WrongOutput(f"Output {name!r} is {value.dtype}, but the package says {np.dtype(dtype).name}.")
            tensors.append(pb_utils.Tensor(name, np.ascontiguousarray(value)))
        return tensors


def _options(request: Any) -> Mapping[str, Any]:
    text = request.parameters()
    return json.loads(text) if text else {}


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))


def _summary(error: Exception) -> str:
    """The kind of error alone: its text may hold paths or data."""
    return type(error).__name__


def _reason(error: Exception) -> str:
    """The kind of error and the first line of what it says; the inference service takes paths out."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text[:_MAX_REASON]}" if text else type(error).__name__


def _open_pipeline(directory: Path, config: Mapping[str, Any], parameters: Mapping[str, str]) -> Any:
    """The model's pipeline; None for a model that is to run without, or where Lepton is not installed."""
    file = parameters.get("pipeline")
    if file is None:
        return None
    limits = json.loads(parameters["limits"])
    try:
        from services.inference.triton.runner.items import ItemPipeline

        return ItemPipeline.read(directory / file, config, limits=limits, log_fault=pb_utils.Logger.log_error)
    except ImportError as error:  # of Lepton, or of what its steps need
        pb_utils.Logger.log_info(f"Lepton cannot be imported here, so pipelines run elsewhere: {error}")
        return None


def _open_onnx(path: Path, inputs: Sequence[str], outputs: Sequence[str], wide_threads: int) -> Runner:
    names = list(outputs)
    # One thread an instance: instances are the parallelism, and spinning threads would fight over the cores.
    narrow = _onnx_session(path, threads=1)
    # Of an idle machine one caller may have all cores. A second session, as a session keeps its number of threads.
    wide = _onnx_session(path, threads=wide_threads) if wide_threads > 1 else narrow

    def run(feeds: Feeds, is_wide: bool) -> Sequence[Any]:
        session = wide if is_wide else narrow
        return session.run(names, {name: _text(name, feeds[name]) for name in inputs})  # type: ignore[no-any-return]

    return run


def _onnx_session(path: Path, *, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # spin within a run only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _text(name: str, array: Any) -> Any:
    """ONNX strings are str, Triton's are bytes; everything else passes untouched."""
    if array.dtype != np.object_:
        return array
    try:
        decoded = [element.decode() if isinstance(element, bytes) else element for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise _NotText(f"Input {name!r} has an element that is not UTF-8 text, and this model takes text.") from error
    return np.array(decoded, dtype=np.object_).reshape(array.shape)


def _open_torch_export(path: Path, inputs: Sequence[str], outputs: Sequence[str], wide_threads: int) -> Runner:
    import torch

    torch.set_num_threads(1)
    module = torch.export.load(str(path)).module()

    def run(feeds: Feeds, is_wide: bool) -> Sequence[Any]:
        # torch warns about read-only memory, and the stub's views are writable only in some versions.
        arguments = [torch.from_numpy(np.require(feeds[name], requirements="W")) for name in inputs]
        threads = wide_threads if is_wide else 1
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            answer = module(*arguments)
        if isinstance(answer, Mapping):
            answer = [answer[name] for name in outputs]
        elif isinstance(answer, torch.Tensor):
            answer = [answer]
        return [tensor.detach().numpy() for tensor in answer]

    return run
