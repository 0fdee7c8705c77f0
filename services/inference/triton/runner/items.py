"""A model's pipeline beside the model: raw items in, the model's outputs and what became of each item out.

Runs in the processes of Triton's Python backend, where this package is installed there; `model.py` works without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lepton_ai import tensors
from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import as_lepton_error, to_status
from lepton_ai.pipeline.pipeline import Pipeline
from lepton_ai.pipeline.values import Limits, Processed, RawValue, raw_inputs
from lepton_ai.tensors import Array
from lepton_ai.v1 import common_pb2, preprocess_pb2
from services.inference.item import ItemView
from services.inference.rows import NamedTensor
from services.inference.signature import Signature
from services.inference.triton.repository import ITEMS, RESULTS

Feeds = Mapping[str, Array]
Infer = Callable[[Feeds], Sequence[Array]]
LogFault = Callable[[str], None]
_Layout = tuple[tuple[str, str, tuple[int, ...]], ...]


@dataclass
class Answered:
    """What a batch of items became."""

    outputs: Sequence[Array] | None = None
    """One row for every item without error, in order; None when there is none, or when items differ in shape, so that
    their outputs stand in their results."""
    results: list[preprocess_pb2.ItemResult] = field(default_factory=list)
    """One for every item, in order."""


class ItemPipeline:
    """Runs items through a pipeline and the model in one go. Used by one thread."""

    def __init__(self, pipeline: Pipeline, config: Mapping[str, Any], *, limits: Limits, log_fault: LogFault) -> None:
        """`config` is Triton's of the model."""
        self._pipeline = pipeline
        self._signature = Signature(_Model(_described(config["input"]), _described(config["output"])))
        self._limits = limits
        self._log_fault = log_fault

    @classmethod
    def read(
        cls, path: Path, config: Mapping[str, Any], *, limits: Mapping[str, Any], log_fault: LogFault
    ) -> ItemPipeline:
        """Load the pipeline that `ModelRepository` has put beside the model. Raises InvalidInput."""
        message = preprocess_pb2.Pipeline.FromString(path.read_bytes())
        return cls(Pipeline.from_proto(message), config, limits=Limits(**limits), log_fault=log_fault)

    def answer(self, items: Sequence[bytes], infer: Infer, *, timed: bool) -> Answered:
        """Process serialised Items, and infer those that can be. Raises what `infer` raises.

        `timed`: tell when each step worked, for spans.
        """
        answered = Answered()
        ready: list[int] = []
        made: list[dict[str, Array]] = []
        for index, item in enumerate(items):
            result = preprocess_pb2.ItemResult()
            answered.results.append(result)
            processed = self._process(item, result, timed=timed)
            if processed is not None:
                ready.append(index)
                made.append(processed.tensors)
        layouts = {_layout(each) for each in made}
        if len(layouts) == 1:
            answered.outputs = infer(_stacked(made))
        elif layouts:
            self._infer_ragged(made, [answered.results[index] for index in ready], infer)
        return answered

    def _process(self, item: bytes, result: preprocess_pb2.ItemResult, *, timed: bool) -> Processed | None:
        """Note what became of an item; its tensors, or None when it has an error."""
        began_s = time.monotonic()
        processed = None
        try:
            observe = _Steps(result).observe if timed else None
            processed = self._pipeline.run(_raw_inputs(item), limits=self._limits, observe=observe)
            self._check(processed.tensors)
        except Exception as error:  # noqa: BLE001 - of one item alone; what is not understood is logged
            if not isinstance(error, LeptonError):
                self._log_fault(f"processing an item failed: {type(error).__name__}: {error}")
            processed = None
            result.error.CopyFrom(to_status(as_lepton_error(error)))
        else:
            for anomaly in processed.anomalies:
                result.anomalies.add(input=anomaly.input, reason=anomaly.reason, message=anomaly.message)
            for name, frame in processed.frames.items():
                result.frames.append(frame.to_proto(name))
        result.duration_us = int((time.monotonic() - began_s) * 1e6)
        return processed

    def _check(self, made: Mapping[str, Array]) -> None:
        """Raises FailedPrecondition when the pipeline does not make what the model takes."""
        if self._signature.fits({name: (dtype, (1, *shape)) for name, dtype, shape in _layout(made)}):
            return
        self._signature.check_made([_as_row(name, array) for name, array in made.items()])

    def _infer_ragged(
        self, made: Sequence[dict[str, Array]], results: Sequence[preprocess_pb2.ItemResult], infer: Infer
    ) -> None:
        for layout in {_layout(each): None for each in made}:
            members = [index for index, each in enumerate(made) if _layout(each) == layout]
            outputs = infer(_stacked([made[index] for index in members]))
            for row, index in enumerate(members):
                for declared, output in zip(self._signature.outputs, outputs, strict=True):
                    tensors.add_to(results[index].tensors, declared.name, output[row])


def _raw_inputs(item: bytes) -> Mapping[str, RawValue]:
    """What an item holds. Files are copied out of it; by way of a message, they would be copied twice."""
    try:
        return {name: bytes(file.data) for name, file in ItemView.read(memoryview(item)).inputs.items()}
    except ValueError:
        return raw_inputs(common_pb2.Item.FromString(item))


class _Steps:
    """Times the steps of one item into its result."""

    def __init__(self, result: preprocess_pb2.ItemResult) -> None:
        self._result = result

    @contextmanager
    def observe(self, operation: str) -> Iterator[None]:
        step = self._result.steps.add(operation=operation, start_unix_ns=time.time_ns())
        began_ns = time.monotonic_ns()
        try:
            yield
        finally:
            step.duration_ns = time.monotonic_ns() - began_ns


@dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Model:
    inputs: Sequence[_Tensor]
    outputs: Sequence[_Tensor]


def _described(configured: Sequence[Mapping[str, Any]]) -> list[_Tensor]:
    """The model's own tensors as its package describes them, which Triton's configuration says in its own words."""
    own = [each for each in configured if each["name"] not in (ITEMS, RESULTS)]
    return [_Tensor(each["name"], _dtype(each["data_type"]), tuple(map(int, each["dims"]))) for each in own]


def _dtype(data_type: str) -> str:
    return "BYTES" if data_type == "TYPE_STRING" else data_type.removeprefix("TYPE_")


def _layout(made: Mapping[str, Array]) -> _Layout:
    return tuple((name, tensors.dtype_name(array.dtype), array.shape) for name, array in made.items())


def _as_row(name: str, array: Array) -> NamedTensor:
    dtype, shape, data = tensors.to_wire(array)
    return NamedTensor(name, dtype, (1, *shape), data)


def _stacked(made: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    if len(made) == 1:
        return {name: array[None] for name, array in made[0].items()}
    return {name: np.stack([each[name] for each in made]) for name in made[0]}
