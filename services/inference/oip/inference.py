"""One inference of the Open Inference Protocol: message in, message out; the work is the predictor's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from opentelemetry.context import Context

from lepton_ai.errors import LeptonError
from services.inference.call import Call, Caller
from services.inference.oip import request as oip_request
from services.inference.oip.response import LABELS, SCORES, has_labels, infer_response, label_tensors
from services.inference.predict.predictor import Predictor
from services.inference.predict.request import InferenceRequest, Inputs
from services.inference.predict.result import InferenceResult
from services.inference.predict.runtime import ModelRuntime
from services.inference.routing.routes import ModelReference
from services.inference.rows import NamedTensor

Forward = Callable[[LeptonError, Any, ModelReference, Call], Awaitable[Any]]
"""(error, request, model, call) → the answer of another replica. Raises the error where none can answer."""


async def infer(
    predictor: Predictor,
    request: Any,
    *,
    timeout_s: float,
    context: Context,
    caller: Caller,
    forward: Forward,
    from_stream: bool = False,
) -> Any:
    """The ModelInferResponse to a ModelInferRequest, within `timeout_s` and the time that the request gives itself.

    Raises every kind of LeptonError.
    """
    parameters = oip_request.read_parameters(request)
    oip_request.check_tensor_parameters(request)
    if parameters.timeout_s is not None:
        timeout_s = min(timeout_s, parameters.timeout_s)
    call = Call.arrive(
        timeout_s=timeout_s, context=context, priority=parameters.priority, caller=caller, from_stream=from_stream
    )
    wanted = [output.name for output in request.outputs]
    asked = InferenceRequest(
        model=oip_request.model_ref(request.model_name, request.model_version),
        read=lambda runtime: _read_inputs(predictor, request, wanted, runtime),
        answered=LABELS in wanted or SCORES in wanted,
        top_k=parameters.top_k,
        routing_key=parameters.routing_key,
        may_cache=parameters.may_cache,
        exact=parameters.exact,
    )
    try:
        result = await predictor.predict(asked, call)
    except LeptonError as error:
        return await forward(error, request, asked.model, call)
    loaded = result.resolved.loaded
    response = infer_response(request, loaded.version, _tensors(result, wanted))
    if loaded.variant:
        response.parameters["variant"].string_param = loaded.variant
    if result.cached_rows:
        response.parameters["cached"].int64_param = result.cached_rows
    return response


def _read_inputs(predictor: Predictor, request: Any, wanted: Sequence[str], runtime: ModelRuntime) -> Inputs:
    also = (LABELS, SCORES) if has_labels(runtime) else ()
    runtime.signature.check_outputs(wanted, also=also, field="outputs")
    tensors = oip_request.read_tensors(request)
    if oip_request.is_raw_items(tensors, runtime.pipeline_inputs, runtime.signature.input_dtypes):
        # before they are unpacked: millions of empty ones fit into a message
        predictor.check_count(max((tensor.shape[0] for tensor in tensors if tensor.shape), default=0), "rows")
        items = oip_request.read_items(tensors, runtime.pipeline_inputs, runtime.pipeline_readings)
        return Inputs("rows", items=items)
    return Inputs("inputs", tensors=tensors)


def _tensors(result: InferenceResult, wanted: Sequence[str]) -> Sequence[NamedTensor]:
    """The tensors of the answer. The protocol has no errors for single rows, so the first one fails the call."""
    error = next((outcome.error for outcome in result.outcomes if outcome.error is not None), None)
    if error is not None:
        raise error
    rows = result.rows()
    made = list(rows.tensors) if rows is not None else []
    if not wanted:
        return made
    if result.answers:
        made += label_tensors(result.answers)
    by_name = {tensor.name: tensor for tensor in made}
    return [by_name[name] for name in wanted if name in by_name]
