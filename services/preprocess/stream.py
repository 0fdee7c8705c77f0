"""One PreprocessStream: pipelines it has defined, items it has in flight, results on their way back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable
from functools import partial

from opentelemetry.trace import Span, SpanKind

from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.mesh.errors import to_status
from lepton_ai.mesh.leased_memory.owner import LeasedMemory
from lepton_ai.mesh.tracing import Tracing, context_from
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import preprocess_pb2
from services.preprocess.outbox import Outbox
from services.preprocess.pipelines import PipelineCache, pipeline_bytes
from services.preprocess.processor import failure
from services.preprocess.settings import PreprocessSettings
from services.preprocess.stream_memory import StreamMemory
from services.preprocess.workers import Job, Workers

_METHOD = "lepton.v1.PreprocessService/PreprocessStream"
_SPAN_ATTRIBUTES = {"rpc.system.name": "grpc", "rpc.method": _METHOD}


class StreamSession:
    """Lives as long as its stream. Belongs to one event loop; results arrive from worker threads."""

    def __init__(
        self,
        cache: PipelineCache,
        workers: Workers,
        tracing: Tracing,
        settings: PreprocessSettings,
        memory: LeasedMemory | None = None,
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._tracing = tracing
        self._settings = settings
        self._outbox = Outbox()
        self._pipelines: dict[str, Pipeline | LeptonError] = {}
        self._pipelines_bytes = 0
        self._jobs: dict[int, Job] = {}
        self._memory = None if memory is None else StreamMemory(memory)
        self._notices: list[preprocess_pb2.PreprocessStreamResponse] = []
        self._reading = True

    async def answers(
        self, requests: AsyncIterator[preprocess_pb2.PreprocessStreamRequest]
    ) -> AsyncIterator[preprocess_pb2.PreprocessStreamResponse]:
        """Everything to send back. Ends when the requests have ended and every item in flight is answered.

        Raises InvalidInput when the client breaks the protocol.
        """
        reader = asyncio.create_task(self._read(requests))
        try:
            while self._reading or self._jobs or self._notices or not self._outbox.is_empty:
                await self._outbox.wait()
                if reader.done():
                    reader.result()  # a client that breaks the protocol is told at once
                for message in self._messages():
                    yield message
            await reader
        finally:
            reader.cancel()
            self._cancel(tuple(self._jobs))
            self._outbox.close()
            if self._memory is not None:
                self._memory.leave()
            await asyncio.gather(reader, return_exceptions=True)

    def _messages(self) -> Iterable[preprocess_pb2.PreprocessStreamResponse]:
        while self._notices:
            yield self._notices.pop(0)
        for message in self._outbox.messages():
            for result in message.results:
                self._jobs.pop(result.id, None)
            yield message

    async def _read(self, requests: AsyncIterator[preprocess_pb2.PreprocessStreamRequest]) -> None:
        try:
            async for request in requests:
                if request.HasField("memory"):
                    self._hear_of_memory(request.memory)
                kind = request.WhichOneof("kind")
                if kind == "batch":
                    self._accept(request.batch)
                elif kind == "define":
                    await self._define(request.define)
                elif kind == "cancel":
                    self._cancel(request.cancel.ids)
                await self._outbox.room()
        finally:
            self._reading = False
            self._outbox.wake()

    def _hear_of_memory(self, use: preprocess_pb2.MemoryUse) -> None:
        offer = None if self._memory is None else self._memory.hear(use)
        if offer is not None:
            self._notify(preprocess_pb2.PreprocessStreamResponse(memory=offer))

    def _notify(self, notice: preprocess_pb2.PreprocessStreamResponse) -> None:
        self._notices.append(notice)
        self._outbox.wake()

    async def _define(self, message: preprocess_pb2.Pipeline) -> None:
        try:
            self._check_room(message)
            self._pipelines[message.digest] = await self._cache.load(message)
        except LeptonError as error:
            self._remember_failure(message.digest, error)
            report = preprocess_pb2.PipelineError(pipeline_digest=message.digest, error=to_status(error))
            self._notify(preprocess_pb2.PreprocessStreamResponse(pipeline_error=report))
        else:
            self._pipelines_bytes += pipeline_bytes(message)

    def _check_room(self, message: preprocess_pb2.Pipeline) -> None:
        known = isinstance(self._pipelines.get(message.digest), Pipeline)
        fits = self._pipelines_bytes + pipeline_bytes(message) <= self._settings.max_pipelines_bytes
        if not known and (len(self._pipelines) >= self._settings.max_pipelines or not fits):
            raise ResourceExhausted(
                "This stream has defined as many pipelines as it may.",
                reason="TOO_MANY_PIPELINES",
                fix="Open a new stream.",
            )

    def _remember_failure(self, digest: str, error: LeptonError) -> None:
        if len(self._pipelines) < self._settings.max_pipelines and not isinstance(
            self._pipelines.get(digest), Pipeline
        ):
            self._pipelines[digest] = error

    def _accept(self, batch: preprocess_pb2.MicroBatch) -> None:
        for position, item in enumerate(batch.items):
            if item.id in self._jobs:  # its answer could not be told from the other one's
                raise InvalidInput.of_field("items.id", "is the id of an item in flight", reason="DUPLICATE_ID")
            span = self._tracing.begin(
                _METHOD, parent=context_from(item.trace), kind=SpanKind.SERVER, attributes=_SPAN_ATTRIBUTES
            )
            try:
                self._submit(batch.pipeline_digest, item, span, position)
            except LeptonError as error:
                self._outbox.put(preprocess_pb2.StreamResult(id=item.id, result=failure(error, span)))
                span.end()

    def _submit(self, digest: str, item: preprocess_pb2.StreamItem, span: Span, position: int) -> None:
        if position >= self._settings.max_batch_items:
            raise ResourceExhausted(
                f"More than {self._settings.max_batch_items} items in one message.",
                reason="BATCH_TOO_LARGE",
                fix="Send smaller micro-batches.",
            )
        timeout_s = item.timeout_us / 1e6 if item.timeout_us else math.inf
        answer = preprocess_pb2.StreamResult(id=item.id)
        job = Job(
            self._pipeline(digest),
            item.item,
            deadline_s=time.monotonic() + timeout_s,
            span=span,
            result=answer.result,
            finish=partial(self._outbox.put, answer),
            memory=self._memory,
        )
        self._workers.submit(job)
        self._jobs[item.id] = job

    def _pipeline(self, digest: str) -> Pipeline:
        pipeline = self._pipelines.get(digest)
        if pipeline is None:
            raise FailedPrecondition(
                "The pipeline of this micro-batch is not known to this stream.",
                reason="PIPELINE_UNKNOWN",
                fix="Send `define` before the first micro-batch that names the pipeline.",
            )
        if isinstance(pipeline, LeptonError):
            raise pipeline
        return pipeline

    def _cancel(self, ids: Iterable[int]) -> None:
        """Drop items that are not begun; others finish and are answered, as nobody can stop a thread."""
        for item_id in ids:
            job = self._jobs.get(item_id)
            if job is not None and self._workers.cancel(job):
                del self._jobs[item_id]
