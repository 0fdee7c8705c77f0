"""Joins the rows of many callers into batches for Triton and hands each caller exactly its own rows of the answer."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from lepton_ai.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    LeptonError,
    ResourceExhausted,
    Unavailable,
)
from services.inference.batching.latency import LatencyModel
from services.inference.batching.queue import Member, RowQueue
from services.inference.batching.spans import BatchSpans
from services.inference.call import Priority
from services.inference.rows import Answer, Rows, split
from services.inference.triton.backend import InferenceBackend
from services.inference.triton.errors import smells_dead
from services.inference.triton.messages import answered_rows
from services.inference.triton.slots import SlotPool
from services.inference.triton.transport import BatchTransport
from services.inference.version import LoadedVersion

_log = logging.getLogger(__name__)

_BULK_SHARE = 0.5
"""Bulk calls may fill this part of the queue; the rest is kept for live ones."""
_MIN_RETRY_S = 0.05
_PATIENCE_S = 10.0
"""How long after its last deadline a batch keeps its place, as Triton still works on it and reads its memory. One that
takes longer hangs and loses its place, so that the place is free once the model is healed."""
_BAD_INPUT_ERRORS = (InvalidInput, InternalError)
"""Errors that one caller's bad rows may cause for a whole batch."""


@dataclass(slots=True, eq=False)
class Flight:
    """One batch on its way through Triton."""

    members: list[Member]
    rows: int
    dispatched_at: float
    started_at: float | None
    """When an instance of the model was free for it, as far as can be told from here."""
    task: asyncio.Task[None] | None = None


BatchDone = Callable[[LoadedVersion, int, float], None]
"""Called after a batch with its version, its rows and the seconds that it took."""


class Batcher:
    """The batching queue of one loaded version. Work-conserving: nothing waits while an instance is idle.

    As many batches are in flight as the model has instances, plus one so that the next is at hand when one is done. A
    batch takes the rows that wait at that moment, without a timer: no more than fit the oldest deadline by the learned
    latency, and no more than make a row cheaper. A batch keeps its place until Triton has answered, also when nobody
    waits for it any more. When a batch of several callers fails in a way that one caller's input may have caused, each
    caller is tried once more on its own. All state belongs to one event loop; there are no locks.
    """

    def __init__(
        self,
        loaded: LoadedVersion,
        backend: InferenceBackend,
        *,
        tracer: Tracer,
        batch_done: BatchDone,
        max_queue_rows: int,
        slots: SlotPool | None = None,
    ) -> None:
        """With `slots`, large batches go to the backend through shared memory."""
        self._loaded = loaded
        self._transport = BatchTransport(backend, slots)
        self._tracer = tracer
        self._batch_done = batch_done
        self._max_queue_rows = max(max_queue_rows, loaded.max_batch_size)
        self._max_batch_rows = max(1, loaded.max_batch_size)
        self._instances = max(1, loaded.instances)
        self._queue = RowQueue()
        self._flights: set[Flight] = set()
        self._not_started: deque[Flight] = deque()
        self._pump_scheduled = False
        self._closed = False
        self.latency = LatencyModel()

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
        self, rows: Rows, *, deadline: float, priority: Priority = Priority.LIVE, context: Context | None = None
    ) -> Answer:
        """The outputs of these rows, at most `max_batch_size` of them. Cancel the wait at the deadline, or before.

        Raises ResourceExhausted when the queue is full, DeadlineExceeded when the deadline (monotonic seconds) passed
        in the queue or is too near for any answer, and what Triton says about the batch.
        """
        self._admit(rows, priority)
        member = Member(
            rows=rows,
            deadline=deadline,
            priority=priority,
            future=asyncio.get_running_loop().create_future(),
            context=context,
            enqueued_at=time.monotonic(),
            enqueued_ns=time.time_ns() if context is not None else 0,
        )
        self._queue.add(member)
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

    def _admit(self, rows: Rows, priority: Priority) -> None:
        if self._closed:
            raise _closing()
        bound = self._max_queue_rows * (_BULK_SHARE if priority is Priority.BULK else 1.0)
        if self._queue.rows + rows.count > bound and self._pump_scheduled:
            self._pump()  # some rows that came in this very turn of the loop may not have to wait at all
        if self._queue.rows and self._queue.rows + rows.count > bound:
            batches = self._queue.rows / self._max_batch_rows
            wait_s = batches * self.latency.estimate_s(self._max_batch_rows) / self._instances
            raise ResourceExhausted(
                f"The queue of model {self._loaded.model!r} is full.",
                reason="QUEUE_FULL",
                fix="Send less at a time, or add replicas.",
                retry_after_s=max(_MIN_RETRY_S, wait_s),
            )

    def _schedule(self) -> None:
        # Not at once but in the loop's next turn: rows that became ready together then share a batch, at no delay.
        if not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        while self._queue.rows and self._has_slot():
            members = self._take()
            if members:
                self._dispatch(members)

    def _has_slot(self) -> bool:
        if self.batches_in_flight != self._instances:
            return self.batches_in_flight < self._instances
        # One more in flight hides the way to Triton and back, but makes batches smaller.
        return self._queue.rows >= self._max_batch_rows or self.latency.splitting_pays(self._queue.rows)

    def _take(self) -> list[Member]:
        now = time.monotonic()
        # Rows that wait are spread over the idle instances, which then work side by side.
        idle = max(1, self._instances - self.batches_in_flight)
        spread = idle if self.latency.splitting_pays(self._queue.rows) else 1
        largest = self.latency.worthwhile_rows(self._max_batch_rows)
        target = min(largest, math.ceil(self._queue.rows / spread))

        def allowance(member: Member) -> float:
            rows = self.latency.rows_within(member.deadline - now)
            # A member that would miss its deadline even in a batch of its own must not keep the others' batch small.
            return rows if rows >= member.rows.count else math.inf

        members: list[Member] = []
        for member in self._queue.take(target, allowance):
            if member.future.done():
                continue  # Cancelled in this very turn of the loop.
            if member.deadline <= now:
                _fail(member, DeadlineExceeded("The deadline passed in the queue.", reason="LATE_IN_QUEUE"))
            elif self.latency.hopeless(member.deadline - now):
                _fail(member, _too_near())
            else:
                members.append(member)
        return members

    def _dispatch(self, members: list[Member]) -> None:
        now = time.monotonic()
        started_at = now if self.batches_in_flight < self._instances else None
        rows = sum(member.rows.count for member in members)
        flight = Flight(members, rows, now, started_at)
        if started_at is None:
            self._not_started.append(flight)
        self._flights.add(flight)
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight))
        flight.task.add_done_callback(_log_bug)

    async def _fly(self, flight: Flight) -> None:
        spans = BatchSpans.begin(self._tracer, flight.members, self._loaded)
        error: LeptonError | None = InternalError("The batch ended without an answer.")
        try:
            parts = await self._infer(flight, spans)
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

    async def _infer(self, flight: Flight, spans: BatchSpans | None) -> list[Rows]:
        timeout_s = max(member.deadline for member in flight.members) - flight.dispatched_at + _PATIENCE_S
        metadata = spans.metadata if spans is not None else ()
        parts = [member.rows for member in flight.members]
        response = await self._transport.infer(self._loaded.triton_name, parts, timeout_s=timeout_s, metadata=metadata)
        answered = answered_rows(response, flight.rows, unbatched=self._loaded.unbatched)
        return split(answered, [part.count for part in parts])

    def _land(self, flight: Flight) -> None:
        self._flights.discard(flight)
        now = time.monotonic()
        if flight in self._not_started:
            self._not_started.remove(flight)
        elif self._not_started:
            self._not_started.popleft().started_at = now

    def _answer(self, flight: Flight, parts: Sequence[Rows]) -> None:
        now = time.monotonic()
        self._loaded.succeeded()
        if flight.started_at is not None:
            self.latency.observe(flight.rows, now - flight.started_at)
        compute_us = _us(now - flight.dispatched_at)
        for member, part in zip(flight.members, parts, strict=True):
            if not member.future.done():
                queue_us = _us(flight.dispatched_at - member.enqueued_at)
                member.future.set_result(Answer(part, queue_us, compute_us, flight.rows))
        self._batch_done(self._loaded, flight.rows, now - flight.dispatched_at)

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


def _fail(member: Member, error: BaseException) -> None:
    if not member.future.done():
        member.future.set_exception(error)


def _closing() -> Unavailable:
    return Unavailable("The model version is being unloaded.", reason="UNLOADING", fix="Try again.", retry_after_s=0.1)


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
