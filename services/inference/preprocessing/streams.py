"""Raw items → tensors, by the preprocess service: every item goes to the replica that is best for it at that moment."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Collection
from typing import Protocol

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from lepton_ai.errors import DeadlineExceeded, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.mesh.errors import from_status
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import RetryBudget, is_repeat, pause_before_retry
from lepton_ai.mesh.tracing import Tracing, mark_code, trace_context
from lepton_ai.v1 import preprocess_pb2
from services.inference.item import Item
from services.inference.preprocessing.made import Made
from services.inference.preprocessing.replica_stream import METHOD, ReplicaStream, Work

_RETRYABLE = (Unavailable, ResourceExhausted)


class Preprocessing(Protocol):
    """What the predictor needs of preprocessing."""

    @property
    def is_there(self) -> bool:
        """Whether a preprocess replica is known."""

    async def process(
        self, pipeline: preprocess_pb2.Pipeline, item: Item, *, deadline: float, context: Context
    ) -> Made:
        """Tensors of one item. Raises the item's own error, or Unavailable, ResourceExhausted, DeadlineExceeded."""


class Pick(Protocol):
    """A replica chosen for one item; tell it how that went, for the balancer."""

    @property
    def address(self) -> str: ...
    @property
    def channel(self) -> grpc.aio.Channel: ...
    def succeeded(self) -> None: ...
    def failed(self, error: LeptonError) -> None: ...
    def abandoned(self) -> None: ...


class ReplicaPool(Protocol):
    """What is needed of `lepton_ai.mesh.calling.pool.ServicePool`."""

    @property
    def addresses(self) -> frozenset[str]: ...
    def pick(self, exclude: Collection[str] = ()) -> Pick: ...
    def changed(self) -> AsyncIterator[object]: ...


class StreamedPreprocessing:
    """Holds one stream to every preprocess replica it uses and balances item by item.

    Bounded: more than `max_items` items or `max_bytes` bytes on the way are refused. An item whose replica breaks or
    refuses it goes to another one, within the retry budget and its deadline.
    """

    def __init__(self, pool: ReplicaPool, tracing: Tracing, *, max_items: int, max_bytes: int) -> None:
        self._pool = pool
        self._tracing = tracing
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items = 0
        self._bytes = 0
        self._ids = itertools.count(1)
        self._budget = RetryBudget()
        self._streams: dict[str, ReplicaStream] = {}
        self._leaving: list[ReplicaStream] = []
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow which replicas there are."""
        self._follower = run_loop(self._follow, name="follow preprocess replicas")

    async def close(self) -> None:
        """End all streams; items on the way fail with Unavailable."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await asyncio.gather(*(stream.close() for stream in (*self._streams.values(), *self._leaving)))

    @property
    def is_there(self) -> bool:
        """Whether a preprocess replica is known."""
        return bool(self._pool.addresses)

    async def process(
        self, pipeline: preprocess_pb2.Pipeline, item: Item, *, deadline: float, context: Context
    ) -> Made:
        """Tensors of one item. Raises the item's own error, or Unavailable, ResourceExhausted, DeadlineExceeded."""
        size_bytes = item.ByteSize()
        self._admit(size_bytes)
        self._items += 1
        self._bytes += size_bytes
        try:
            work = Work(next(self._ids), pipeline, item, size_bytes, deadline, None, _future())
            return await self._try_replicas(work, context)
        finally:
            self._items -= 1
            self._bytes -= size_bytes

    def _admit(self, size_bytes: int) -> None:
        if self._items >= self._max_items or (self._items and self._bytes + size_bytes > self._max_bytes):
            raise ResourceExhausted(
                "Too many items wait for preprocessing.",
                reason="PREPROCESS_QUEUE_FULL",
                fix="Send less at a time, or add preprocess replicas.",
                retry_after_s=0.1,
            )

    async def _try_replicas(self, work: Work, context: Context) -> Made:
        self._budget.deposit(repeat=is_repeat())
        tried: list[str] = []
        while True:
            others = set(self._pool.addresses) - set(tried)
            pick = self._pool.pick(tried if others else ())
            stream = self._stream_to(pick)
            tried.append(pick.address)
            try:
                return await self._try_one(work, pick, stream, context)
            except _RETRYABLE as error:
                elsewhere = not self._pool.addresses <= set(tried)
                # That its replica is full says nothing about the others.
                wish_s = None if elsewhere else error.retry_after_s
                pause_s = pause_before_retry(len(tried), end_s=work.deadline, elsewhere=elsewhere, wish_s=wish_s)
                if pause_s is None or not self._may_retry(stream):
                    error.retried = True  # by nobody else: retries must not multiply from hop to hop
                    raise
            await asyncio.sleep(pause_s)
            work.result = _future()

    def _may_retry(self, stream: ReplicaStream) -> bool:
        if not stream.ended:
            return self._budget.withdraw()
        if stream.items_may_move is None:
            stream.items_may_move = self._budget.withdraw()
        return stream.items_may_move

    async def _try_one(self, work: Work, pick: Pick, stream: ReplicaStream, context: Context) -> Made:
        span = self._begin_span(pick, context)
        work.trace = trace_context(trace.set_span_in_context(span))
        stream.put(work)
        try:
            made = await work.result
            if made.result.HasField("error"):
                raise from_status(made.result.error)
        except asyncio.CancelledError:
            stream.cancel(work)
            self._conclude_cancelled(work, pick, span)
            raise
        except LeptonError as error:
            mark_code(span, error.code, error.message)
            pick.failed(error)
            raise
        else:
            mark_code(span, grpc.StatusCode.OK)
            pick.succeeded()
            if span.is_recording():
                span.set_attribute("lepton.tensors", "memory" if made.contents else "message")
            return made
        finally:
            span.end()

    def _conclude_cancelled(self, work: Work, pick: Pick, span: Span) -> None:
        """A caller that gave up says nothing about the replica; a deadline that passed does: it may hang."""
        if time.monotonic() < work.deadline:
            pick.abandoned()
            mark_code(span, grpc.StatusCode.CANCELLED)
            return
        error = DeadlineExceeded("Preprocessing did not finish in time.")
        pick.failed(error)
        mark_code(span, error.code, error.message)

    def _begin_span(self, pick: Pick, context: Context) -> Span:
        host, _, port = pick.address.rpartition(":")
        attributes: dict[str, AttributeValue] = {
            "rpc.system.name": "grpc",
            "rpc.method": METHOD,
            "server.address": host,
            "server.port": int(port),
        }
        return self._tracing.begin(METHOD, parent=context, kind=SpanKind.CLIENT, attributes=attributes)

    def _stream_to(self, pick: Pick) -> ReplicaStream:
        stream = self._streams.get(pick.address)
        if stream is None or not stream.takes_items or stream.channel is not pick.channel:
            stream = self._streams[pick.address] = ReplicaStream(pick.channel)
        return stream

    async def _follow(self) -> None:
        async for _ in self._pool.changed():
            for address in [address for address in self._streams if address not in self._pool.addresses]:
                stream = self._streams.pop(address)
                stream.retire()
                self._leaving = [each for each in (*self._leaving, stream) if not each.ended]


def _future() -> asyncio.Future[Made]:
    return asyncio.get_running_loop().create_future()
