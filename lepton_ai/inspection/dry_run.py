"""Runs a package on this machine as the platform would: its pipeline, its model, its postprocessing, its verdict.

The golden samples must be answered as the package says; without any, zeros must be answered at all. Only run packages
that `inspect_package` has accepted, and those of strangers in a process of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_ai.errors import InvalidInput, LeptonError
from lepton_ai.inspection.runner import Run, open_model
from lepton_ai.installed import need
from lepton_ai.package import Package
from lepton_ai.package.golden import GoldenItem
from lepton_ai.package.onnx_runtime import explain_onnx_runtime
from lepton_ai.package.trial import GOLDEN_MISMATCH, verdict, zeros
from lepton_ai.pipeline import Pipeline, raw_inputs
from lepton_ai.pipeline.frames import Frame, only_frame
from lepton_ai.postprocessing import Options, Postprocess
from lepton_ai.postprocessing.messages import write_answer
from lepton_ai.tensors import Array, dtype_name, from_proto, to_proto
from lepton_ai.v1 import inference_pb2

_RUNTIMES = {"onnx": "onnxruntime", "torch_export": "torch"}
_MAX_SHOWN = 300


@dataclass(frozen=True)
class Tried:
    """What became of one sample."""

    sample: str
    """Its field in lepton.yaml ("golden[0]"); "zeros" where there are no golden samples, "batch" for two rows."""
    problem: str
    """Why the answer is wrong; empty when it is right."""
    duration_s: float


class DryRun:
    """A package that is opened once and then tried sample by sample."""

    def __init__(self, package: Package) -> None:
        """Open it. Raises InvalidInput when its runtime cannot, FailedPrecondition where the runtime is not installed.

        Pipelines have to be right; `inspect_package` says whether they are.
        """
        self._package = package
        document, steps = package.pipeline_document(), package.postprocess_document()
        self._pipeline = None if document is None else Pipeline.load(document, package.pipeline_files())
        self._postprocess = None if steps is None else Postprocess.load(steps, package.postprocess_files())
        self._run = _open(package)

    def try_samples(self) -> Iterator[Tried]:
        """Try every golden sample, then two of the first one as a batch where the package takes batches."""
        samples = self._package.golden_items()
        for index, sample in enumerate(samples):
            yield self._tried(f"golden[{index}]", sample)
        if not samples:
            yield self._tried("zeros", None)
        if self._package.description.max_batch_size > 1:
            yield self._tried_batch(samples[0] if samples else None)

    def _tried(self, name: str, sample: GoldenItem | None) -> Tried:
        began = time.monotonic()
        try:
            feeds, frame = self._inputs(sample)
            problem = self._problem(sample, self.outputs(feeds), frame)
        except LeptonError as error:
            problem = error.message
        return Tried(name, problem, time.monotonic() - began)

    def _tried_batch(self, sample: GoldenItem | None) -> Tried:
        began = time.monotonic()
        try:
            feeds, _ = self._inputs(sample)
            outputs = self.outputs({name: np.concatenate([array, array]) for name, array in feeds.items()})
            wrong = [name for name, array in outputs.items() if not array.shape or len(array) != 2]
            problem = f"output {wrong[0]!r} has not one row for each of two inputs" if wrong else ""
        except LeptonError as error:
            problem = f"two inputs at once: {error.message}"
        return Tried("batch", problem, time.monotonic() - began)

    def _inputs(self, sample: GoldenItem | None) -> tuple[dict[str, Array], Frame | None]:
        """A batch of one for the model, and how its picture's pixels were moved."""
        if sample is None:
            return {tensor.name: from_proto(tensor) for tensor in zeros(self._package.description.inputs)}, None
        if self._pipeline is None:
            tensors = {name: from_proto(value.tensor) for name, value in sample.item.inputs.items()}
            return {name: array[np.newaxis] for name, array in tensors.items()}, None
        made = self._pipeline.run(raw_inputs(sample.item))
        return {name: np.asarray(array)[np.newaxis] for name, array in made.tensors.items()}, only_frame(made.frames)

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What the model gives for a batch of inputs. Raises InvalidInput when it fails or gives something else than
        the package says."""
        try:
            answers = self._run(feeds)
        except MemoryError:
            raise
        except Exception as error:  # a model may raise anything
            reason = explain_onnx_runtime(str(error)).strip().partition("\n")[0][:_MAX_SHOWN]
            raise InvalidInput.of_field("model.file", f"fails on this input: {reason}", reason="MODEL_FAILS") from error
        outputs = {}
        for index, (spec, value) in enumerate(zip(self._package.description.outputs, answers, strict=True)):
            array = np.asarray(value)
            if dtype_name(array.dtype) != spec.dtype:
                text = f"is {spec.dtype} here and {dtype_name(array.dtype)} when it runs"
                raise InvalidInput.of_field(f"outputs[{index}].dtype", text, reason="SIGNATURE_MISMATCH")
            outputs[spec.name] = array if spec.batched else array[np.newaxis]
            _check_shape(f"outputs[{index}].shape", spec.shape, outputs[spec.name])
        return outputs

    def _problem(self, sample: GoldenItem | None, outputs: Mapping[str, Array], frame: Frame | None) -> str:
        """Why an answer is wrong. Without a sample, any answer is right."""
        response = inference_pb2.PredictResponse(tensors=[to_proto(name, array) for name, array in outputs.items()])
        if self._postprocess is not None:
            # Of boxes all, to look for those wanted; see `golden_request`.
            top_k = 0 if sample is None or sample.boxes else sample.top_k
            answered = self._postprocess.run(dict(outputs), Options(top_k, (frame,)))[0]
            if answered.error is not None:
                return "" if sample is None else answered.error.message
            if answered.answer is not None:
                write_answer(answered.answer, response.predictions.add())
        return "" if sample is None else verdict(sample, response)


def check_answers(package: Package) -> Sequence[Tried]:
    """Try all samples. Raises InvalidInput (GOLDEN_MISMATCH) for the first that is answered wrongly."""
    tried = []
    for each in DryRun(package).try_samples():
        if each.problem:
            raise InvalidInput.of_field(each.sample, each.problem, reason=GOLDEN_MISMATCH)
        tried.append(each)
    return tried


def _open(package: Package) -> Run:
    model, description = package.description.model, package.description
    need(_RUNTIMES[model.format], "A dry run of this package")
    inputs, outputs = ([spec.name for spec in specs] for specs in (description.inputs, description.outputs))
    try:
        return open_model(package.path(model.file), model.format, inputs, outputs)
    except MemoryError:
        raise
    except Exception as error:  # a loader may raise anything
        reason = explain_onnx_runtime(str(error)).replace(str(package.directory), "").strip().partition("\n")[0]
        text = f"cannot be opened: {reason[:_MAX_SHOWN]}"
        raise InvalidInput.of_field("model.file", text, reason="RUNTIME_REFUSES") from error


def _check_shape(field: str, wanted: Sequence[int], array: Any) -> None:
    got = array.shape
    if len(got) != len(wanted) or any(size not in (-1, real) for size, real in zip(wanted, got, strict=True)):
        text = f"is {list(wanted)} here and {list(got)} when it runs"
        raise InvalidInput.of_field(field, text, reason="SIGNATURE_MISMATCH")
