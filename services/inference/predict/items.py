"""Raw items → rows of outputs, each on the path that suits it best at that moment."""

from __future__ import annotations

import time

from opentelemetry import trace

from lepton_ai.errors import InternalError, InvalidInput, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.pipeline.frames import only_frame, read_frames
from lepton_ai.v1 import preprocess_pb2
from services.inference.call import Call
from services.inference.item import Item
from services.inference.paths.chooser import Trip
from services.inference.paths.path import Path, Reason
from services.inference.predict.result import Outcome
from services.inference.predict.runtime import ModelRuntime
from services.inference.preprocessing.made import Made
from services.inference.preprocessing.streams import Preprocessing
from services.inference.rows import Answer
from services.inference.triton.items import item_row

_ELSEWHERE = (Unavailable, ResourceExhausted)
"""Errors of the preprocess service that say nothing about the item: its model may do the work instead."""


class ItemRunner:
    """Takes items through their model's pipeline, wherever that runs, and through the model."""

    def __init__(self, preprocessing: Preprocessing, *, max_item_bytes: int) -> None:
        self._preprocessing = preprocessing
        self._max_item_bytes = max_item_bytes

    async def run(self, runtime: ModelRuntime, pipeline: preprocess_pb2.Pipeline, item: Item, call: Call) -> Outcome:
        """What became of the item; its error stands in the outcome."""
        size_bytes = item.ByteSize()
        if size_bytes > self._max_item_bytes:
            return Outcome(error=_too_large(size_bytes, self._max_item_bytes))
        chooser = runtime.paths.of(size_bytes)
        trip = chooser.begin(time.monotonic())
        if trip.path is Path.REMOTE and runtime.loaded.runs_items and not self._preprocessing.is_there:
            trip.path, trip.reason = Path.FUSED, Reason.OUTAGE
        outcome = Outcome()
        answered = False
        try:
            await self._go(trip, outcome, runtime, pipeline, item, call)
            answered = True
        except LeptonError as error:
            outcome.error = error
        finally:
            chooser.end(trip, time.monotonic(), answered=answered)
            _note(trip, call)
        return outcome

    async def _go(
        self,
        trip: Trip,
        outcome: Outcome,
        runtime: ModelRuntime,
        pipeline: preprocess_pb2.Pipeline,
        item: Item,
        call: Call,
    ) -> None:
        if trip.path is Path.FUSED:
            await _run_fused(outcome, runtime, item, call)
            return
        try:
            made = await self._preprocess(outcome, pipeline, item, call)
        except _ELSEWHERE:
            if not runtime.may_go_elsewhere:
                raise
            trip.path, trip.reason = Path.FUSED, Reason.OUTAGE
            await _run_fused(outcome, runtime, item, call)
            return
        _fill(outcome, await runtime.run(runtime.signature.check_made(made.tensors()), call))

    async def _preprocess(self, outcome: Outcome, pipeline: preprocess_pb2.Pipeline, item: Item, call: Call) -> Made:
        started_at = time.monotonic()
        made = await self._preprocessing.process(pipeline, item, deadline=call.deadline, context=call.context)
        outcome.preprocess_us = max(0, round((time.monotonic() - started_at) * 1e6))
        _note_result(outcome, made.result)
        return made


def _too_large(size_bytes: int, max_bytes: int) -> InvalidInput:
    return InvalidInput(
        f"The item has {size_bytes:,} bytes, at most {max_bytes:,} are allowed.",
        reason="ITEM_TOO_LARGE",
        fix="Send a smaller file.",
    )


async def _run_fused(outcome: Outcome, runtime: ModelRuntime, item: Item, call: Call) -> None:
    answer = await runtime.run(item_row(item), call)
    if answer.item is None:
        raise InternalError("The model did not say what became of its item.", reason="NO_ITEM_RESULTS")
    _note_result(outcome, answer.item)
    _fill(outcome, answer)
    outcome.preprocess_us = answer.item.duration_us
    outcome.compute_us = max(0, outcome.compute_us - outcome.preprocess_us)


def _note_result(outcome: Outcome, result: preprocess_pb2.ItemResult) -> None:
    outcome.anomalies = result.anomalies
    if result.frames:
        outcome.frame = only_frame(read_frames(result.frames))


def _fill(outcome: Outcome, answer: Answer) -> None:
    outcome.rows, outcome.queue_us, outcome.compute_us = answer.rows, answer.queue_us, answer.compute_us
    outcome.batch_rows = answer.batch_rows


def _note(trip: Trip, call: Call) -> None:
    """Put the path on the call's span, when it has one; of several items, the last one's."""
    span = trace.get_current_span(call.context)
    if span.is_recording():
        span.set_attribute("lepton.path", trip.path.value)
        span.set_attribute("lepton.path.reason", trip.reason.value)
