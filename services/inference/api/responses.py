"""Writes a PredictResponse of lepton.v1: answers, the tensors asked for, ids and timings."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from lepton_ai.mesh.errors import to_status
from lepton_ai.mesh.wire import head
from lepton_ai.postprocessing import Answered
from lepton_ai.postprocessing.messages import write_answer
from lepton_ai.tensors import NUMBER_OF_DTYPE
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.api.large_requests import Request
from services.inference.call import Call, make_id
from services.inference.predict.answers import anomalies_of
from services.inference.predict.result import InferenceResult
from services.inference.predict.runtime import ModelRuntime
from services.inference.recording.recorder import Recorder
from services.inference.rows import NamedTensor

_NO_ANSWER = Answered(None)
_RESPONSES = inference_pb2.PredictStreamResponse.RESPONSES_FIELD_NUMBER


def write_description(runtime: ModelRuntime) -> inference_pb2.DescribeModelResponse:
    """What a version takes as raw items, and what it answers."""
    postprocess = runtime.loaded.postprocess
    return inference_pb2.DescribeModelResponse(
        model_name=runtime.loaded.model,
        model_version=runtime.loaded.version,
        input_kinds=runtime.pipeline_inputs,
        read_inputs=sorted(runtime.pipeline_readings),
        answer_kind=postprocess.kind if postprocess is not None else "",
        answer_description=postprocess.describe() if postprocess is not None else "",
    )


def write_response(
    request: Request, result: InferenceResult, call: Call, recorder: Recorder | None = None
) -> inference_pb2.PredictResponse:
    """The answer to a request: a prediction for every item, and tensors if asked for or if they are the answer.

    `recorder` remembers it, so that users' feedback can be joined with it.
    """
    response = inference_pb2.PredictResponse()
    fill_response(response, request, result, call, recorder)
    return response


def fill_response(
    response: inference_pb2.PredictResponse,
    request: Request,
    result: InferenceResult,
    call: Call,
    recorder: Recorder | None = None,
) -> None:
    """The same in place, which spares an answer that is part of a larger message a copy."""
    loaded = result.resolved.loaded
    response.request_id = request.request_id or make_id()
    response.prediction_id = make_id() if recorder is None else recorder.make_id(loaded)
    if recorder is not None and result.answers:
        recorder.record(result.resolved, response.prediction_id, list(result.answered_rows()), call, request)
    response.model_name = loaded.model
    response.model_version = loaded.version
    response.model_variant = loaded.variant
    response.model_alias = result.resolved.alias
    response.cached_rows = result.cached_rows
    if request.items:
        _add_predictions(response, request, result)
    else:
        _add_row_predictions(response, result)
    postprocess = loaded.postprocess
    are_the_answer = postprocess is None or postprocess.keeps_outputs
    if request.options.outputs or request.tensors or are_the_answer:
        _add_outputs(response, result, request.options.outputs)
    _add_timings(response.timings, result, call)


def join_answers(answers: Sequence[bytes]) -> bytes:
    """A PredictStreamResponse with these encoded ones as its `responses`."""
    parts: list[bytes] = []
    for answer in answers:
        parts += (head(_RESPONSES, len(answer)), answer)
    return b"".join(parts)


def _add_predictions(response: inference_pb2.PredictResponse, request: Request, result: InferenceResult) -> None:
    answers = iter(result.answers)
    for index, (item, outcome) in enumerate(zip(request.items, result.outcomes, strict=True)):
        prediction = response.predictions.add(item_id=item.id, prediction_id=f"{response.prediction_id}-{index}")
        prediction.anomalies.extend(outcome.anomalies)
        if outcome.error is not None:
            prediction.error.CopyFrom(to_status(outcome.error))
        else:
            _add_answer(prediction, next(answers, _NO_ANSWER))


def _add_row_predictions(response: inference_pb2.PredictResponse, result: InferenceResult) -> None:
    for index, row in enumerate(result.answers):
        prediction = response.predictions.add(prediction_id=f"{response.prediction_id}-{index}")
        prediction.anomalies.extend(anomalies_of(row))
        if row.error is not None:
            prediction.error.CopyFrom(to_status(row.error))
        else:
            _add_answer(prediction, row)


def _add_answer(prediction: inference_pb2.Prediction, row: Answered) -> None:
    if row.answer is not None:
        write_answer(row.answer, prediction)


def _add_outputs(response: inference_pb2.PredictResponse, result: InferenceResult, wanted: Collection[str]) -> None:
    """The outputs as tensors of all rows, or each item's own where they differ in shape."""
    if not result.is_ragged:
        rows = result.rows()
        _add_tensors(response.tensors, rows.tensors if rows is not None else (), wanted)
        return
    for prediction, outcome in zip(response.predictions, result.outcomes, strict=True):
        if outcome.rows is not None and outcome.error is None:
            _add_tensors(prediction.outputs, outcome.rows.tensors, wanted, batched=False)


def _add_tensors(
    messages: Any, tensors: Sequence[NamedTensor], wanted: Collection[str], *, batched: bool = True
) -> None:
    """Add the tensors in place, as contents are large; without their batch of one if not `batched`."""
    for tensor in tensors:
        if not wanted or tensor.name in wanted:
            shape = tensor.shape if batched else tensor.shape[1:]
            messages.add(name=tensor.name, dtype=NUMBER_OF_DTYPE[tensor.dtype], shape=shape, data=tensor.data)


def _add_timings(timings: common_pb2.Timings, result: InferenceResult, call: Call) -> None:
    slowest = result.slowest
    timings.preprocess_us = slowest.preprocess_us
    timings.queue_us = slowest.queue_us
    timings.compute_us = slowest.compute_us
    timings.postprocess_us = result.postprocess_us
    timings.total_us = max(0, round((time.monotonic() - call.arrived_at) * 1e6))
