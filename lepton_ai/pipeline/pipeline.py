"""A loaded pipeline: turns the raw inputs of one item into tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import document as documents
from lepton_ai.pipeline.columns import (
    KINDS_ON_COLUMNS,
    Column,
    ColumnsCall,
    OnColumns,
    ProcessedRows,
    RowBatch,
    Unusual,
    check_sizes,
)
from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.operation import Call
from lepton_ai.pipeline.plan import plan
from lepton_ai.pipeline.values import Limits, Processed, RawValue, accept, size_bytes
from lepton_ai.pipeline.wiring import Output, wire
from lepton_ai.tensors import Array
from lepton_ai.v1 import preprocess_pb2

StepObserver = Callable[[str], AbstractContextManager[object]]
"""Entered around every step with the operation's name ("resize+center_crop" for two done at once); tracing hangs spans
on it."""

_DEFAULT_LIMITS = Limits()


class Pipeline:
    """Steps that are checked, typed and wired. Immutable: one instance may run in many threads at once."""

    def __init__(self, parsed: documents.Document, files: Mapping[str, bytes]) -> None:
        """Use `load`."""
        wired = wire(parsed, files)
        self._files = {name: files[name] for name in parsed.file_names}
        self._steps = plan(wired.steps)
        self.on_columns = all(isinstance(step.runnable, OnColumns) for step in self._steps) and all(
            kind in KINDS_ON_COLUMNS for kind in parsed.inputs.values()
        )
        """Whether `run_batch` may go column by column: numbers and categories, and only steps that can."""
        self.outputs: tuple[Output, ...] = wired.outputs
        """Name, dtype and shape of each tensor that an item becomes."""
        self._has_pictures = "image" in parsed.inputs.values()
        self.inputs: Mapping[str, str] = parsed.inputs
        """Kind of each input by name."""
        self.readings = parsed.readings
        """How texts for inputs of numbers and categories are read, by name; none for most."""
        self.document_json = parsed.canonical_json
        self.digest = documents.digest(self.document_json, self._files)
        """Lower-case hex SHA-256 over the canonical document and the files that it names."""

    @classmethod
    def load(cls, document: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Self:
        """Check a document and make it ready to run. `files` hold by name what the steps read.

        Raises InvalidInput whose field is a path such as "steps[2].size".
        """
        return cls(documents.parse(document), files or {})

    @classmethod
    def from_proto(cls, message: preprocess_pb2.Pipeline) -> Self:
        """Load a pipeline that was sent. Raises InvalidInput, also when it is not the one its digest names."""
        try:
            document = json.loads(message.document_json)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise InvalidInput.of_field("pipeline.document_json", "is not a JSON object", reason="NOT_JSON")
        pipeline = cls.load(document, message.files)
        if pipeline.digest != message.digest:
            raise InvalidInput.of_field(
                "pipeline.digest",
                "is not the digest of the document and files",
                reason="DIGEST_MISMATCH",
                fix="Send Pipeline.to_proto() unchanged.",
            )
        return pipeline

    def to_proto(self) -> preprocess_pb2.Pipeline:
        """The pipeline with the files that it names, to send to a preprocess service."""
        return preprocess_pb2.Pipeline(digest=self.digest, document_json=self.document_json, files=self._files)

    def run(
        self, inputs: Mapping[str, RawValue], *, limits: Limits = _DEFAULT_LIMITS, observe: StepObserver | None = None
    ) -> Processed:
        """Process one item. Raises InvalidInput naming the input ("inputs.photo") that cannot be processed."""
        values: dict[str, Any] = accept(inputs, kinds=self.inputs, limits=limits, readings=self.readings)
        call = Call(limits)
        frames: dict[str, Frame] = {}
        for step in self._steps:
            call.origins, call.given = step.origins, step.given
            taken = tuple([values[name] for name in step.reads])
            if observe is None:
                made = step.runnable.apply(taken, call)
            else:
                with observe(step.runnable.name):
                    made = step.runnable.apply(taken, call)
            values.update(zip(step.writes, made, strict=True))
            if self._has_pictures:
                step.follow(frames, taken, made)
        tensors = {output.name: values[output.name] for output in self.outputs}
        _check_total(tensors, limits)
        return Processed(tensors, call.anomalies, {name: frames[name] for name in tensors if name in frames})

    def run_batch(self, batch: RowBatch, *, limits: Limits = _DEFAULT_LIMITS) -> ProcessedRows | None:
        """Process many rows at once, with what `run` makes of each, several times faster.

        None when the rows must be run one by one: the pipeline has steps on more than numbers and categories, or a row
        is not plain or would be refused, which `run` then says.
        """
        if not self.on_columns:
            return None
        try:
            return self._run_columns(batch.columns(self.inputs, self.readings), ColumnsCall(len(batch)), limits)
        except Unusual:
            return None

    def _run_columns(self, values: dict[str, Column], call: ColumnsCall, limits: Limits) -> ProcessedRows:
        check_sizes(values.values(), limits)
        for step in self._steps:
            assert isinstance(step.runnable, OnColumns)  # noqa: S101 - `on_columns` says so
            call.origins = step.origins
            made = step.runnable.apply_columns(tuple([values[name] for name in step.reads]), call)
            values.update(zip(step.writes, made, strict=True))
        tensors = {output.name: np.asarray(values[output.name]) for output in self.outputs}
        if sum(tensor.nbytes for tensor in tensors.values()) > limits.max_output_bytes * call.count:
            raise Unusual
        for effect in call.effects:
            effect()
        return ProcessedRows(tensors, call.count, call.flags)


def _check_total(tensors: Mapping[str, Array], limits: Limits) -> None:
    total_bytes = sum(size_bytes(tensor) for tensor in tensors.values())
    if total_bytes > limits.max_output_bytes:
        raise InvalidInput.of_field(
            "inputs",
            f"become tensors of {total_bytes} bytes, at most {limits.max_output_bytes} are allowed",
            reason="OUTPUT_TOO_LARGE",
            fix="Send a smaller input.",
        )


def file_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the files that a pipeline document reads, sorted. Raises InvalidInput for an invalid document."""
    return documents.parse(document).file_names
