"""The path of one call, in plain values: route, preprocess raw items, batch, Triton, what the outputs mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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
from services.inference.predict.shadows import Disagreed, Shadows
from services.inference.routing.routes import ModelReference, Resolved, Routes
from services.inference.routing.trial import Trial
from services.inference.variants.offers import Offer
from services.inference.version import LoadedVersion


class ChooseVariant(Protocol):
    """Decides whether a version or its variant answers a call."""

    def __call__(self, resolved: Resolved, call: Call, *, exact: bool) -> Resolved: ...


@dataclass(frozen=True)
class Listeners:
    """Who hears of calls."""

    answered: Callable[[RoutedCall], None] | None = None
    """Of all that were answered."""
    disagreed: Disagreed | None = None
    """Of those that a shadowed version labels otherwise."""


class Predictor:
    """Answers requests with the versions that this replica has loaded."""

    def __init__(
        self,
        routes: Routes,
        runtimes: Runtimes,
        items: ItemRunner,
        *,
        max_items: int,
        layers: Sequence[Layer] = LAYERS,
        listeners: Listeners = Listeners(),
        choose_variant: ChooseVariant | None = None,
    ) -> None:
        """Without `choose_variant` only originals answer."""
        self._choose_variant = choose_variant
        self._routes = routes
        self._runtimes = runtimes
        self._items = items
        self._max_items = max_items
        self._answer = wrap(self._run, layers)
        self._answered = listeners.answered
        self._shadows = Shadows(self._answer, runtimes, listeners.disagreed)

    async def predict(self, request: InferenceRequest, call: Call) -> InferenceResult:
        """Answer a request. Raises every kind of LeptonError; of several raw items each fails by itself."""
        resolved = self._routes.resolve(request.model, request.routing_key, call.caller.named, exact=request.exact)
        if self._choose_variant is not None:
            resolved = self._choose_variant(resolved, call, exact=request.exact)
        _note(resolved, call)
        routed = RoutedCall(request, resolved, self._runtimes.of(resolved.loaded, apart=resolved.is_apart), call)
        result = await counted(self._answer, routed)
        if self._answered is not None:
            self._answered(routed)
        if resolved.shadow is not None:
            self._shadows.copy(routed, resolved.shadow, result)
        return result

    def describe(self, reference: ModelReference) -> ModelRuntime:
        """What serves this reference now. Raises NotFound and Unavailable as a prediction does."""
        return self._runtimes.of(self._routes.resolve(reference, exact=True).loaded)

    def offer(self, loaded: LoadedVersion) -> Offer | None:
        """The variant that may answer in a version's place; None where only the original may."""
        return self._routes.offer(loaded)

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

    async def close(self) -> None:
        """End what is done beside the calls."""
        await self._shadows.close()

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
        if resolved.loaded.variant:
            span.set_attribute("lepton.model.variant", resolved.loaded.variant)


def _pipeline(runtime: ModelRuntime, field: str) -> preprocess_pb2.Pipeline:
    if runtime.loaded.pipeline_proto is None:
        inputs = ", ".join(tensor.name for tensor in runtime.signature.inputs)
        raise InvalidInput.of_field(
            field,
            "the model has no pipeline",
            reason="NO_PIPELINE",
            fix=f"Send tensors: {inputs}; in Python with client.infer.",
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
