"""The path of one call, in plain values: route, preprocess raw items, batch, Triton, what the outputs mean."""

from __future__ import annotations

import time
from collections.abc import Sequence

from opentelemetry import trace

from lepton_ai.errors import FieldViolation, InvalidInput, LeptonError, NotFound, ResourceExhausted
from lepton_ai.v1 import preprocess_pb2
from services.inference.call import Call, gather_all
from services.inference.predict.answers import answer_rows, note_faults, note_odd_outputs
from services.inference.predict.items import ItemRunner
from services.inference.predict.layers import LAYERS, Layer, RoutedCall, counted, wrap
from services.inference.predict.request import InferenceRequest, Inputs
from services.inference.predict.result import InferenceResult, Outcome
from services.inference.predict.runtime import ModelRuntime, Runtimes
from services.inference.routing.routes import ModelReference, Resolved, Routes
from services.inference.routing.trial import Trial
from services.inference.version import LoadedVersion


class Predictor:
    """Answers requests with the versions that this replica has loaded. Holds no state of its own."""

    def __init__(
        self,
        routes: Routes,
        runtimes: Runtimes,
        items: ItemRunner,
        *,
        max_items: int,
        layers: Sequence[Layer] = LAYERS,
    ) -> None:
        self._routes = routes
        self._runtimes = runtimes
        self._items = items
        self._max_items = max_items
        self._answer = wrap(self._run, layers)

    async def predict(self, request: InferenceRequest, call: Call) -> InferenceResult:
        """Answer a request. Raises every kind of LeptonError; of several raw items each fails by itself."""
        resolved = self._routes.resolve(request.model, request.routing_key)
        _note(resolved, call)
        return await counted(self._answer, RoutedCall(request, resolved, self._runtimes.of(resolved.loaded), call))

    def describe(self, reference: ModelReference) -> ModelRuntime:
        """What serves this reference now. Raises NotFound and Unavailable as a prediction does."""
        return self._runtimes.of(self._routes.resolve(reference).loaded)

    def trial(self, model: str) -> Trial:
        """What is counted of a model's calls by arm. Raises NotFound while no rollout of it is under way."""
        trial = self._routes.trial(model)
        if trial is None:
            raise NotFound(
                f"No rollout of {model[:64]!r} is under way.",
                reason="ROLLOUT_NOT_FOUND",
                fix="See `lepton rollout list`.",
            )
        return trial

    async def predict_with(self, loaded: LoadedVersion, request: InferenceRequest, call: Call) -> InferenceResult:
        """Answer with this very version, whether calls are routed to it or not: how a new version is probed."""
        resolved = Resolved(loaded, alias="")
        return await self._answer(RoutedCall(request, resolved, self._runtimes.of(loaded), call))

    async def _run(self, routed: RoutedCall) -> InferenceResult:
        runtime, request = routed.runtime, routed.request
        inputs = request.read(runtime)
        if inputs.items:
            outcomes = await self._run_items(runtime, inputs, routed.call)
        else:
            outcomes = [await self._run_tensors(runtime, inputs, routed.call)]
        postprocess = runtime.loaded.postprocess
        if postprocess is None and inputs.items:
            note_odd_outputs(outcomes)
        if postprocess is None or not request.answered:
            return InferenceResult(routed.resolved, outcomes)
        started_at = time.monotonic()
        answered = [outcome for outcome in outcomes if outcome.rows is not None]
        rows = [outcome.rows for outcome in answered if outcome.rows is not None]
        frames = [outcome.frame for outcome in answered] if inputs.items else ()
        answers = answer_rows(postprocess, rows, request.top_k, frames)
        if inputs.items:
            answers = note_faults(outcomes, answers)
        return InferenceResult(routed.resolved, outcomes, answers, _since_us(started_at))

    async def _run_tensors(self, runtime: ModelRuntime, inputs: Inputs, call: Call) -> Outcome:
        """Raises InvalidInput naming the tensor that is not what the model declares."""
        rows = runtime.signature.check(inputs.tensors, field=inputs.field)
        self.check_count(rows.count, inputs.field)
        with runtime.admit_rows(rows, call):
            answer = await runtime.run(rows, call)
        return Outcome(
            answer.rows, queue_us=answer.queue_us, compute_us=answer.compute_us, batch_rows=answer.batch_rows
        )

    async def _run_items(self, runtime: ModelRuntime, inputs: Inputs, call: Call) -> Sequence[Outcome]:
        """The items, side by side. A single one's error is raised; of several, each outcome holds its own."""
        self.check_count(len(inputs.items), inputs.field)
        pipeline = _pipeline(runtime, inputs.field)
        with runtime.admit_items(inputs.items, call):
            if len(inputs.items) == 1:
                outcomes = [await self._items.run(runtime, pipeline, inputs.items[0], call)]
            else:
                outcomes = await gather_all(self._items.run(runtime, pipeline, item, call) for item in inputs.items)
        for index, outcome in enumerate(outcomes):
            if outcome.error is not None:
                outcome.error = _located(outcome.error, f"{inputs.field}[{index}]")
        if len(outcomes) == 1 and outcomes[0].error is not None:
            raise outcomes[0].error
        return outcomes

    def check_count(self, count: int, field: str) -> None:
        """Raises ResourceExhausted for more rows or items than one call may have."""
        if count > self._max_items:
            raise ResourceExhausted(
                f"{field}: {count} rows in one call, at most {self._max_items} are allowed.",
                reason="TOO_MANY_ITEMS",
                fix="Send several calls, or a stream.",
            )


def _note(resolved: Resolved, call: Call) -> None:
    """Put the version on the call's span, when it has one."""
    span = trace.get_current_span(call.context)
    if span.is_recording():
        span.set_attribute("lepton.model.name", resolved.loaded.model)
        span.set_attribute("lepton.model.version", resolved.loaded.version)
        span.set_attribute("lepton.model.alias", resolved.alias)


def _pipeline(runtime: ModelRuntime, field: str) -> preprocess_pb2.Pipeline:
    if runtime.loaded.pipeline_proto is None:
        inputs = ", ".join(tensor.name for tensor in runtime.signature.inputs)
        raise InvalidInput.of_field(
            field, "the model has no pipeline", reason="NO_PIPELINE", fix=f"Send tensors: {inputs}."
        )
    return runtime.loaded.pipeline_proto


def _located(error: LeptonError, item: str) -> LeptonError:
    """The same error from the request's point of view: field "inputs.photo" becomes "items[3].inputs.photo"."""
    if not error.fields:
        return error
    fields = tuple(FieldViolation(f"{item}.{each.field}", each.description) for each in error.fields)
    message = error.message
    if message.startswith(error.fields[0].field):
        message = f"{item}.{message}"
    return type(error)(message, reason=error.reason, fix=error.fix, fields=fields, retry_after_s=error.retry_after_s)


def _since_us(start_s: float) -> int:
    return max(0, round((time.monotonic() - start_s) * 1e6))
