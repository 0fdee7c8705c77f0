"""Writes a PredictResponse of lepton.v1: labels, the tensors asked for, ids and timings."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from lepton_ai.mesh.errors import to_status
from lepton_ai.pipeline.postprocess import Labelled
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.call import Call, make_id
from services.inference.predict.labels import anomalies_of
from services.inference.predict.result import InferenceResult
from services.inference.predict.runtime import ModelRuntime
from services.inference.rows import NamedTensor

_NO_LABELS = Labelled(())


def write_description(runtime: ModelRuntime) -> inference_pb2.DescribeModelResponse:
    """The inputs that a version's raw items consist of."""
    return inference_pb2.DescribeModelResponse(
        model_name=runtime.loaded.model,
        model_version=runtime.loaded.version,
        input_kinds=runtime.pipeline_inputs,
        read_inputs=sorted(runtime.pipeline_readings),
    )


def write_response(
    request: inference_pb2.PredictRequest, result: InferenceResult, call: Call
) -> inference_pb2.PredictResponse:
    """The answer to a request: a prediction for every item, and tensors if asked for or if there are no labels."""
    response = inference_pb2.PredictResponse(
        request_id=request.request_id or make_id(),
        prediction_id=make_id(),
        model_name=result.resolved.loaded.model,
        model_version=result.resolved.loaded.version,
        model_alias=result.resolved.alias,
    )
    if request.items:
        _add_predictions(response, request, result)
    else:
        _add_row_predictions(response, result)
    # Without labels the outputs are the only answer there is.
    if request.options.outputs or request.tensors or result.resolved.loaded.postprocess is None:
        rows = result.rows()
        _add_tensors(response, rows.tensors if rows is not None else (), request.options.outputs)
    _add_timings(response.timings, result, call)
    return response


def _add_predictions(
    response: inference_pb2.PredictResponse, request: inference_pb2.PredictRequest, result: InferenceResult
) -> None:
    labels = iter(result.labels)
    for index, (item, outcome) in enumerate(zip(request.items, result.outcomes, strict=True)):
        prediction = response.predictions.add(item_id=item.id, prediction_id=f"{response.prediction_id}-{index}")
        prediction.anomalies.extend(outcome.anomalies)
        if outcome.error is not None:
            prediction.error.CopyFrom(to_status(outcome.error))
        else:
            _add_labels(prediction.classification, next(labels, _NO_LABELS))


def _add_row_predictions(response: inference_pb2.PredictResponse, result: InferenceResult) -> None:
    for index, row in enumerate(result.labels):
        prediction = response.predictions.add(prediction_id=f"{response.prediction_id}-{index}")
        prediction.anomalies.extend(anomalies_of(row))
        if row.error is not None:
            prediction.error.CopyFrom(to_status(row.error))
        else:
            _add_labels(prediction.classification, row)


def _add_tensors(
    response: inference_pb2.PredictResponse, tensors: Sequence[NamedTensor], wanted: Collection[str]
) -> None:
    for tensor in tensors:
        if not wanted or tensor.name in wanted:
            dtype = common_pb2.DataType.Value(f"DATA_TYPE_{tensor.dtype}")
            response.tensors.add(name=tensor.name, dtype=dtype, shape=tensor.shape, data=tensor.data)


def _add_labels(classification: inference_pb2.Classification, row: Labelled) -> None:
    classification.SetInParent()
    for label in row.labels:
        classification.labels.add(index=label.class_index, name=label.name, score=label.score)


def _add_timings(timings: common_pb2.Timings, result: InferenceResult, call: Call) -> None:
    slowest = result.slowest
    timings.preprocess_us = slowest.preprocess_us
    timings.queue_us = slowest.queue_us
    timings.compute_us = slowest.compute_us
    timings.postprocess_us = result.postprocess_us
    timings.total_us = max(0, round((time.monotonic() - call.arrived_at) * 1e6))
