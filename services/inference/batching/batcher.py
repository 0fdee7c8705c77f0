"""Joins the rows of many callers into batches for Triton and hands each caller exactly its own rows of the answer."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from lepton_ai.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    LeptonError,
    Unavailable,
)
from services.inference.batching.crowd import Crowd
from services.inference.batching.flight import Airspace, Departure, Flight
from services.inference.batching.latency import LatencyModel
from services.inference.batching.pace import Pace
from services.inference.batching.queue import Bound, Member, RowQueue
from services.inference.batching.spans import BatchSpans
from services.inference.call import Priority
from services.inference.rows import Answer, Rows, split
from services.inference.triton.backend import InferenceBackend
from services.inference.triton.errors import smells_dead
from services.inference.triton.items import PartAnswer, answered_items, holds_items
from services.inference.triton.messages import TIMED, WIDE, answered_rows
from services.inference.triton.slots import SlotPool
from services.inference.triton.transport import BatchTransport
from services.inference.version import LoadedVersion

_log = logging.getLogger(__name__)

_PATIENCE_S = 10.0
"""How long after its last deadline a batch keeps its place, as Triton still works on it and reads its memory. One that
takes longer hangs and loses its place, so that the place is free once the model is healed."""
_BAD_INPUT_ERRORS = (InvalidInput, InternalError)
"""Errors that one caller's bad rows may cause for a whole batch."""


BatchDone = Callable[[LoadedVersion, Flight, float], None]
"""Called after a batch with its version and the seconds that it took."""


class Batcher:
    """The batching queue of one loaded version. Work-conserving: nothing waits while an instance is idle. How much may
    wait is not its concern: see `Admission`.

    As many batches are in flight as the model has instances, plus one so that the next is at hand when one is done. A
    batch takes the rows that wait at that moment, without a timer: no more than fit the oldest deadline by the learned
    latency, and no more than make a row cheaper. A batch that has the machine to itself may use all cores, also under
    load where the model has a single instance. A batch keeps its place until Triton has answered, also when nobody
    waits for it any more. When a batch of several callers fails in a way that one caller may have caused, each caller
    is tried once more on its own. All state belongs to one event loop; there are no locks.
    """

    def __init__(
        self,
        loaded: LoadedVersion,
        backend: InferenceBackend,
        *,
        tracer: Tracer,
        batch_done: BatchDone,
        slots: SlotPool | None = None,
        airspace: Airspace | None = None,
    ) -> None:
        """With `slots`, large batches go to the backend through shared memory. `airspace`: shared by all batchers."""
        self._loaded = loaded
        self._transport = BatchTransport(backend, slots)
        self._tracer = tracer
        self._batch_done = batch_done
        self._max_batch_rows = max(1, loaded.max_batch_size)
        self._instances = max(1, loaded.instances)
        self._lane = self if self._instances == 1 else None
        self._queue = RowQueue()
        self._flights: set[Flight] = set()
        self._not_started: deque[Flight] = deque()
        self._pump_scheduled = False
        self._crowd = Crowd()
        self._flying_rows = 0
        self._closed = False
        self._airspace = airspace or Airspace()
        kinds = ("items", "tensors")
        self.paces: Mapping[str, Pace] = {kind: Pace(can_be_wide=loaded.wide_threads > 1) for kind in kinds}
        """What was measured of batches of "items" and of "tensors"."""

    @property
    def latency(self) -> LatencyModel:
        """How long batches of tensors take."""
        return self.paces["tensors"].latency

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._queue.rows

    @property
    def batches_in_flight(self) -> int:
        """Batches that Triton has at the moment."""
        return len(self._flights)

    @property
    def busy(self) -> bool:
        """Whether any rows wait or are in flight."""
        return bool(self._flights or self._queue.rows)

    async def submit(
        self,
        rows: Rows,
        *,
        deadline: float,
        priority: Priority = Priority.LIVE,
        context: Context | None = None,
        flow: Hashable = None,
    ) -> Answer:
        """The outputs of these rows, at most `max_batch_size` of them. Cancel the wait at the deadline, or before.

        `flow`: on whose behalf they wait; rows of several flows take turns.

        Raises DeadlineExceeded when the deadline (monotonic seconds) passed in the queue or is too near for any answer,
        and what Triton says about the batch.
        """
        if self._closed:
            raise _closing()
        member = Member(
            rows=rows,
            deadline=deadline,
            priority=priority,
            future=asyncio.get_running_loop().create_future(),
            context=context,
            enqueued_at=time.monotonic(),
            enqueued_ns=time.time_ns() if context is not None else 0,
            flow=flow,
        )
        self._queue.add(member)
        self._crowd.see(self._queue.rows + self._flying_rows)
        self._schedule()
        try:
            return await member.future
        except asyncio.CancelledError:
            self._queue.remove(member)
            raise

    async def close(self) -> None:
        """Fail everyone who waits and end the batches in flight."""
        self._closed = True
        for member in self._queue.drain():
            _fail(member, _closing())
        tasks = [flight.task for flight in self._flights if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _schedule(self) -> None:
        # Not at once but in the loop's next turn: rows that became ready together then share a batch, at no delay.
        if not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        while (head := self._queue.peek()) is not None:
            pace = self._pace(head.rows)
            latency = pace.latency
            if not self._has_slot(latency):
                return
            members, departure = self._take(pace, latency)
            if members:
                self._dispatch(members, departure)

    def _pace(self, rows: Rows) -> Pace:
        return self.paces["items" if holds_items(rows) else "tensors"]

    def _has_slot(self, latency: LatencyModel) -> bool:
        if self.batches_in_flight != self._instances:
            return self.batches_in_flight < self._instances
        # One more in flight hides the way to Triton and back, once it is no smaller for that.
        return self._queue.rows >= self._most_rows(latency)

    def _take(self, pace: Pace, latency: LatencyModel) -> tuple[list[Member], Departure]:
        now = time.monotonic()
        target = self._most_rows(latency)

        def allowance(member: Member) -> float:
            rows = latency.rows_within(member.deadline - now)
            # A member that would miss its deadline even in a batch of its own must not keep the others' batch small.
            return rows if rows >= member.rows.count else math.inf

        taken, bound = self._queue.take(target, allowance)
        members = [member for member in taken if self._is_worth_work(member, pace, now)]
        is_full = bound is Bound.ROWS and target == latency.worthwhile_rows(self._max_batch_rows)
        return members, Departure.FULL if is_full else _DEPARTURES[bound]

    def _most_rows(self, latency: LatencyModel) -> int:
        """How many rows the next batch takes of those that wait."""
        largest = latency.worthwhile_rows(self._max_batch_rows)
        if not latency.splitting_pays(self._queue.rows):
            return largest
        others_idle = self.batches_in_flight + 1 < self._instances
        return self._crowd.even_rows(self._instances, largest, 0 if others_idle else self._queue.rows)

    def _is_worth_work(self, member: Member, pace: Pace, now: float) -> bool:
        """Whether the member waits and can be answered in time; fails it if it cannot."""
        if member.future.done():
            return False  # Cancelled in this very turn of the loop.
        if member.deadline <= now:
            _fail(member, _late())
        elif pace.hopeless(member.deadline - now):
            _fail(member, _too_near())
        return not member.future.done()

    def _dispatch(self, members: list[Member], departure: Departure) -> None:
        now = time.monotonic()
        started_at = now if self.batches_in_flight < self._instances else None
        rows = sum(member.rows.count for member in members)
        flight = Flight(members, rows, departure, now, started_at, lane=self._lane)
        # Rows that wait would be another instance's, whose core this one must not take; a single one takes them itself.
        if self._airspace.is_clear(self._lane) and (self._lane is not None or not self._queue.rows):
            flight.wide = self._pace(members[0].rows).prefers_wide(rows)
        if started_at is None:
            self._not_started.append(flight)
        self._flights.add(flight)
        self._flying_rows += rows
        self._airspace.enter(flight)
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight))
        flight.task.add_done_callback(_log_bug)

    async def _fly(self, flight: Flight) -> None:
        spans = BatchSpans.begin(self._tracer, flight, self._loaded)
        error: LeptonError | None = InternalError("The batch ended without an answer.", fix="Try again.")
        try:
            parts = await self._infer(flight, spans)
            if spans is not None:
                spans.add_steps(parts)
            error = None
        except LeptonError as failure:
            error = failure
        except asyncio.CancelledError:
            error = _closing()
        finally:
            if spans is not None:
                spans.end(error)
            self._land(flight)
            self._schedule()
            if error is None:
                self._answer(flight, parts)
            else:
                self._settle(flight, error)

    async def _infer(self, flight: Flight, spans: BatchSpans | None) -> list[PartAnswer]:
        timeout_s = max(member.deadline for member in flight.members) - flight.dispatched_at + _PATIENCE_S
        parts = [member.rows for member in flight.members]
        options = {WIDE: "1"} if flight.wide else {}
        if spans is not None:
            options[TIMED] = "1"
        response = await self._transport.infer(
            self._loaded.triton_name,
            parts,
            timeout_s=timeout_s,
            metadata=spans.metadata if spans is not None else (),
            options=options,
        )
        unbatched = self._loaded.unbatched
        if holds_items(parts[0]):
            return answered_items(response, flight.rows, unbatched=unbatched)
        answered = answered_rows(response, flight.rows, unbatched=unbatched)
        return [PartAnswer(part) for part in split(answered, [part.count for part in parts])]

    def _land(self, flight: Flight) -> None:
        self._crowd.fade()
        self._crowd.see(self._queue.rows + self._flying_rows)
        self._flights.discard(flight)
        self._flying_rows -= flight.rows
        self._airspace.leave(flight)
        now = time.monotonic()
        if flight in self._not_started:
            self._not_started.remove(flight)
        elif self._not_started:
            self._not_started.popleft().started_at = now

    def _answer(self, flight: Flight, parts: Sequence[PartAnswer]) -> None:
        now = time.monotonic()
        self._loaded.succeeded()
        if flight.started_at is not None:
            self._pace(flight.members[0].rows).observe(flight, now - flight.started_at)
        compute_us = _us(now - flight.dispatched_at)
        for member, part in zip(flight.members, parts, strict=True):
            if part.rows is None:
                _fail(member, part.error)
            elif not member.future.done():
                queue_us = _us(flight.dispatched_at - member.enqueued_at)
                member.future.set_result(Answer(part.rows, queue_us, compute_us, flight.rows, part.result))
        answered = sum(part.rows.count for part in parts if part.rows is not None)
        self._loaded.statistics.batch_done(flight.rows, now - flight.dispatched_at, answered=answered)
        self._batch_done(self._loaded, flight, now - flight.dispatched_at)

    def _settle(self, flight: Flight, error: LeptonError) -> None:
        """Give each member of a failed batch its second chance or its error."""
        if smells_dead(error):
            self._loaded.report_failure(error)
        retry = isinstance(error, _BAD_INPUT_ERRORS) and len(flight.members) > 1 and not self._closed
        for member in flight.members:
            if retry and not member.future.done():
                member.alone = True
                self._queue.add(member)
            else:
                _fail(member, error)


_DEPARTURES = {
    None: Departure.IDLE,
    Bound.ROWS: Departure.IDLE,  # it left the rest to the other instances
    Bound.BYTES: Departure.FULL,
    Bound.DEADLINE: Departure.DEADLINE,
    Bound.ALONE: Departure.RETRY,
}


def _fail(member: Member, error: BaseException) -> None:
    if not member.future.done():
        member.future.set_exception(error)


def _closing() -> Unavailable:
    return Unavailable("The model version is being unloaded.", reason="UNLOADING", fix="Try again.", retry_after_s=0.1)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The deadline passed in the queue.",
        reason="LATE_IN_QUEUE",
        fix="Allow more time, send less at once, or add replicas.",
    )


def _too_near() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The time that is left is less than any batch of this model takes.",
        reason="TOO_LITTLE_TIME",
        fix="Allow more time.",
    )


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))


def _log_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a batch ended with an unexpected error", exc_info=error)
