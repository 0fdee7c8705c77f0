"""Writes Open Inference Protocol answers: tensors raw or typed, labels and scores, metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from lepton_ai.postprocessing import Answered, Label
from lepton_ai.tensors import encode_bytes
from services.inference.oip.typed_contents import has_typed_form, typed_from_raw
from services.inference.predict.runtime import ModelRuntime
from services.inference.rows import NamedTensor

LABELS = "labels"
SCORES = "scores"
EXTENSIONS = (
    "model_configuration",
    "parameters",
    "statistics",
    "lepton_pipeline_inputs",
    "lepton_label_outputs",
    "lepton_model_aliases",
)
"""Those of Triton's extensions that are served as a whole, and what Lepton adds: raw items under the pipeline's input
names, the outputs `labels` and `scores`, and aliases in place of version numbers. Of "model_repository" only the index
is answered, so it is not named: who reads the name may load and unload."""

PLATFORM = "lepton_triton"
_NO_LABEL = Label(-1, "", math.nan)


def label_tensors(rows: Sequence[Answered]) -> list[NamedTensor]:
    """`labels` (BYTES [N,k], a class without a name as its index) and `scores` (FP32 [N,k]).

    A row with fewer labels than others is filled up with empty ones whose score is NaN. The protocol has no errors for
    single rows: the first one is raised.
    """
    for row in rows:
        if row.error is not None:
            raise row.error
    width = max((len(row.labels) for row in rows), default=0)
    shape = (len(rows), width)
    cells = [[*row.labels, *[_NO_LABEL] * (width - len(row.labels))] for row in rows]
    names = encode_bytes("" if cell is _NO_LABEL else cell.name or str(cell.index) for row in cells for cell in row)
    scores = np.array([[cell.score for cell in row] for row in cells], dtype="<f4")
    return [NamedTensor(LABELS, "BYTES", shape, names), NamedTensor(SCORES, "FP32", shape, scores.tobytes())]


def has_labels(runtime: ModelRuntime) -> bool:
    """Whether answers of the model can be asked for as labels. Other kinds of answers are not of this protocol."""
    postprocess = runtime.loaded.postprocess
    return postprocess is not None and postprocess.kind == "labels"


def infer_response(request: Any, version: int, tensors: Sequence[NamedTensor]) -> service_pb2.ModelInferResponse:
    """The answer: typed when the request was and every dtype allows it, else raw."""
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=str(version), id=request.id)
    typed = not request.raw_input_contents and all(has_typed_form(tensor.dtype) for tensor in tensors)
    for tensor in tensors:
        output = response.outputs.add(name=tensor.name, datatype=tensor.dtype, shape=tensor.shape)
        if typed:
            output.contents.CopyFrom(typed_from_raw(tensor))
        else:
            response.raw_output_contents.append(tensor.data)
    return response


def model_metadata(runtime: ModelRuntime, versions: Sequence[int]) -> service_pb2.ModelMetadataResponse:
    """The model's tensors, and after them what its pipeline takes in their place and its labels."""
    metadata = service_pb2.ModelMetadataResponse(
        name=runtime.loaded.model, versions=[str(version) for version in sorted(versions)], platform=PLATFORM
    )
    for declared in runtime.signature.inputs:
        metadata.inputs.add(name=declared.name, datatype=declared.dtype, shape=declared.shape)
    for name in runtime.pipeline_inputs.keys() - {declared.name for declared in runtime.signature.inputs}:
        metadata.inputs.add(name=name, datatype="BYTES", shape=[-1])
    for declared in runtime.signature.outputs:
        metadata.outputs.add(name=declared.name, datatype=declared.dtype, shape=declared.shape)
    if has_labels(runtime):
        metadata.outputs.add(name=LABELS, datatype="BYTES", shape=[-1, -1])
        metadata.outputs.add(name=SCORES, datatype="FP32", shape=[-1, -1])
    return metadata
