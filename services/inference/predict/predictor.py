"""The path of one call: route, preprocess raw items, batch, Triton, and back to the caller."""

from __future__ import annotations

import time
from collections.abc import Sequence

from opentelemetry import trace

from lepton_ai.errors import FailedPrecondition, FieldViolation, InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.tensors import proto_dtype
from lepton_ai.v1 import common_pb2, inference_pb2, preprocess_pb2
from services.inference.api.responses import item_response, tensor_response
from services.inference.call import Call, gather_all
from services.inference.predict.outcome import ItemOutcome
from services.inference.predict.runtime import ModelRuntime, Runtimes
from services.inference.preprocessing.streams import Preprocessing
from services.inference.routing.routes import Resolved, Routes
from services.inference.rows import Answer, NamedTensor, Rows
from services.inference.version import LoadedVersion

_MAX_TOP_K = 1000


class Predictor:
    """Answers calls with the versions that this replica has loaded. Holds no state of its own."""

    def __init__(self, routes: Routes, runtimes: Runtimes, preprocessing: Preprocessing, *, max_items: int) -> None:
        self._routes = routes
        self._runtimes = runtimes
        self._preprocessing = preprocessing
        self._max_items = max_items

    async def predict(self, request: inference_pb2.PredictRequest, call: Call) -> inference_pb2.PredictResponse:
        """Answer a request of lepton.v1. Raises every kind of LeptonError; several items fail one by one."""
        self._check(request)
        resolved = self.resolve(request.model, call, routing_key=request.options.routing_key)
        return await self._answer(resolved, request, call)

    def describe(self, ref: common_pb2.ModelRef) -> inference_pb2.DescribeModelResponse:
        """What raw items of a model hold. Raises NotFound and Unavailable as a prediction does."""
        loaded = self._routes.resolve(ref).loaded
        return inference_pb2.DescribeModelResponse(
            model_name=loaded.model, model_version=loaded.version, input_kinds=self._runtimes.of(loaded).pipeline_inputs
        )

    async def predict_with(
        self, loaded: LoadedVersion, request: inference_pb2.PredictRequest, call: Call
    ) -> inference_pb2.PredictResponse:
        """Answer with this very version, whether calls are routed to it or not: how a new version is probed."""
        self._check(request)
        return await self._answer(Resolved(loaded, alias=""), request, call)

    async def _answer(
        self, resolved: Resolved, request: inference_pb2.PredictRequest, call: Call
    ) -> inference_pb2.PredictResponse:
        runtime = self._runtimes.of(resolved.loaded)
        runtime.signature.check_outputs(request.options.outputs)
        with resolved.loaded.in_use():
            async with call.bounded():
                if request.tensors:
                    answer = await self.run_tensors(runtime, [_named(tensor) for tensor in request.tensors], call)
                    return tensor_response(request, resolved, answer, call)
                outcomes = await self.run_items(runtime, request.items, call)
        return item_response(request, resolved, outcomes, call)

    def resolve(self, ref: common_pb2.ModelRef, call: Call, *, routing_key: str = "") -> Resolved:
        """The version that this call goes to, noted on its span. Raises NotFound and Unavailable."""
        resolved = self._routes.resolve(ref, routing_key)
        span = trace.get_current_span(call.context)
        if span.is_recording():
            span.set_attribute("lepton.model.name", resolved.loaded.model)
            span.set_attribute("lepton.model.version", resolved.loaded.version)
            span.set_attribute("lepton.model.alias", resolved.alias)
        return resolved

    def runtime(self, resolved: Resolved) -> ModelRuntime:
        """The runtime of a resolved version."""
        return self._runtimes.of(resolved.loaded)

    async def run_tensors(
        self, runtime: ModelRuntime, tensors: Sequence[NamedTensor], call: Call, *, field: str = "tensors"
    ) -> Answer:
        """Run ready tensors. Raises InvalidInput naming the one that is not what the model declares."""
        rows = runtime.signature.check(tensors, field=field)
        self._check_count(rows.count, field)
        return await runtime.run(rows, call)

    async def run_items(
        self, runtime: ModelRuntime, items: Sequence[common_pb2.Item], call: Call, *, field: str = "items"
    ) -> list[ItemOutcome]:
        """Run raw items, side by side. A single one's error is raised; of several, each outcome holds its own."""
        self._check_count(len(items), field)
        pipeline = runtime.loaded.pipeline_proto
        if pipeline is None:
            inputs = ", ".join(tensor.name for tensor in runtime.signature.inputs)
            raise InvalidInput.of_field(
                field, "the model has no pipeline", reason="NO_PIPELINE", fix=f"Send tensors: {inputs}."
            )
        if len(items) == 1:
            outcomes = [await self._run_item(runtime, pipeline, items[0], call)]
        else:
            outcomes = await gather_all(self._run_item(runtime, pipeline, item, call) for item in items)
        for index, outcome in enumerate(outcomes):
            if outcome.error is not None:
                outcome.error = _located(outcome.error, f"{field}[{index}]")
        if len(items) == 1 and outcomes[0].error is not None:
            raise outcomes[0].error
        return outcomes

    async def _run_item(
        self, runtime: ModelRuntime, pipeline: preprocess_pb2.Pipeline, item: common_pb2.Item, call: Call
    ) -> ItemOutcome:
        outcome = ItemOutcome()
        started_at = time.monotonic()
        try:
            result = await self._preprocessing.process(pipeline, item, deadline=call.deadline, context=call.context)
            outcome.preprocess_us = round((time.monotonic() - started_at) * 1e6)
            outcome.anomalies = result.anomalies
            answer = await runtime.run(_checked_rows(runtime, result.tensors), call)
        except LeptonError as error:
            outcome.error = error
        else:
            outcome.rows, outcome.queue_us, outcome.compute_us = answer.rows, answer.queue_us, answer.compute_us
        return outcome

    def _check(self, request: inference_pb2.PredictRequest) -> None:
        if not request.model.name:
            raise InvalidInput.of_field("model.name", "is empty", fix="Name a model; `lepton models` lists them.")
        if bool(request.items) == bool(request.tensors):
            problem = "both are given" if request.items else "both are empty"
            raise InvalidInput.of_field(
                "items, tensors", problem, reason="NO_INPUT", fix="Send raw items or ready tensors."
            )
        if request.options.top_k > _MAX_TOP_K:
            raise InvalidInput.of_field("options.top_k", f"is over {_MAX_TOP_K}", reason="TOP_K_TOO_LARGE")

    def _check_count(self, count: int, field: str) -> None:
        if count > self._max_items:
            raise ResourceExhausted(
                f"{field}: {count} rows in one call, at most {self._max_items} are allowed.",
                reason="TOO_MANY_ITEMS",
                fix="Send several calls, or a stream.",
            )


def _named(tensor: common_pb2.Tensor) -> NamedTensor:
    if tensor.WhichOneof("content") == "shared_memory":
        raise FailedPrecondition(
            f"tensors[{tensor.name[:64]}]: is in shared memory, which this server cannot map.",
            reason="SHARED_MEMORY_UNAVAILABLE",
            fix="Send `data`.",
        )
    return NamedTensor(tensor.name, proto_dtype(tensor), tuple(tensor.shape), tensor.data)


def _checked_rows(runtime: ModelRuntime, made: common_pb2.TensorList) -> Rows:
    """One row of the model's inputs from what preprocessing made of an item."""
    tensors = [
        NamedTensor(tensor.name, proto_dtype(tensor), (1, *tensor.shape), tensor.data) for tensor in made.tensors
    ]
    try:
        return runtime.signature.check(tensors, field="preprocess.outputs")
    except InvalidInput as error:  # Not the caller's fault: its items cannot do this, a wrong package can.
        raise FailedPrecondition(
            f"The model's pipeline does not make what the model takes. {error.message}",
            reason="PIPELINE_MISMATCH",
            fix="Correct the package and push a new version.",
        ) from error


def _located(error: LeptonError, item: str) -> LeptonError:
    """The same error from the request's point of view: field "inputs.photo" becomes "items[3].inputs.photo"."""
    if not error.fields:
        return error
    fields = tuple(FieldViolation(f"{item}.{each.field}", each.description) for each in error.fields)
    message = error.message
    if message.startswith(error.fields[0].field):
        message = f"{item}.{message}"
    return type(error)(message, reason=error.reason, fix=error.fix, fields=fields, retry_after_s=error.retry_after_s)
