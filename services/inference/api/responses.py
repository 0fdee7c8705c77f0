"""Answers of the model → PredictResponse: labels, the tensors asked for, ids and timings."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.errors import to_status
from lepton_ai.pipeline.postprocess import Scored
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.call import Call, make_id
from services.inference.predict.labels import label_outcomes
from services.inference.predict.outcome import ItemOutcome
from services.inference.routing.routes import Resolved
from services.inference.rows import Answer, NamedTensor, Rows, join


def tensor_response(
    request: inference_pb2.PredictRequest, resolved: Resolved, answer: Answer, call: Call
) -> inference_pb2.PredictResponse:
    """The answer to a call with tensors: all outputs, or those asked for."""
    response = _begin(request, resolved)
    _add_tensors(response, answer.rows.tensors, request.options.outputs)
    response.timings.queue_us = answer.queue_us
    response.timings.compute_us = answer.compute_us
    response.timings.total_us = _since_us(call.arrived_at)
    return response


def item_response(
    request: inference_pb2.PredictRequest, resolved: Resolved, outcomes: Sequence[ItemOutcome], call: Call
) -> inference_pb2.PredictResponse:
    """The answer to a call with raw items: one prediction each, in order. Raises a single item's error."""
    response = _begin(request, resolved)
    started_at = time.monotonic()
    postprocess = resolved.loaded.postprocess
    if postprocess is not None:
        label_outcomes(postprocess, outcomes, request.options.top_k)
    response.timings.postprocess_us = _since_us(started_at)
    if len(outcomes) == 1 and outcomes[0].error is not None:
        raise outcomes[0].error
    for index, (item, outcome) in enumerate(zip(request.items, outcomes, strict=True)):
        prediction = response.predictions.add(item_id=item.id, prediction_id=f"{response.prediction_id}-{index}")
        prediction.anomalies.extend(outcome.anomalies)
        if outcome.error is not None:
            prediction.error.CopyFrom(to_status(outcome.error))
        else:
            _add_labels(prediction.classification, outcome.labels)
    good = [outcome.rows for outcome in outcomes if outcome.rows is not None and outcome.error is None]
    # Without labels the outputs are the only answer there is.
    if good and (request.options.outputs or postprocess is None):
        _add_tensors(response, _joined(good).tensors, request.options.outputs)
    _add_timings(response.timings, outcomes, call)
    return response


def _begin(request: inference_pb2.PredictRequest, resolved: Resolved) -> inference_pb2.PredictResponse:
    return inference_pb2.PredictResponse(
        request_id=request.request_id or make_id(),
        prediction_id=make_id(),
        model_name=resolved.loaded.model,
        model_version=resolved.loaded.version,
        model_alias=resolved.alias,
    )


def _add_tensors(
    response: inference_pb2.PredictResponse, tensors: Sequence[NamedTensor], wanted: Collection[str]
) -> None:
    for tensor in tensors:
        if not wanted or tensor.name in wanted:
            dtype = common_pb2.DataType.Value(f"DATA_TYPE_{tensor.dtype}")
            response.tensors.add(name=tensor.name, dtype=dtype, shape=tensor.shape, data=tensor.data)


def _joined(parts: Sequence[Rows]) -> Rows:
    if len({part.layout for part in parts}) > 1:
        raise FailedPrecondition(
            "The outputs of these items differ in shape, so they do not make one tensor.",
            reason="RAGGED_OUTPUTS",
            fix="Send the items in calls of their own.",
        )
    return join(parts)


def _add_labels(classification: inference_pb2.Classification, labels: Sequence[Scored]) -> None:
    classification.SetInParent()
    for label in labels:
        classification.labels.add(index=label.class_index, name=label.name, score=label.score)


def _add_timings(timings: common_pb2.Timings, outcomes: Sequence[ItemOutcome], call: Call) -> None:
    slowest = max(outcomes, key=lambda outcome: outcome.busy_us)
    timings.preprocess_us = slowest.preprocess_us
    timings.queue_us = slowest.queue_us
    timings.compute_us = slowest.compute_us
    timings.total_us = _since_us(call.arrived_at)


def _since_us(start_s: float) -> int:
    return max(0, round((time.monotonic() - start_s) * 1e6))
