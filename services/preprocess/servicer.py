"""The preprocess service's gRPC methods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from opentelemetry import context as otel_context

from lepton_ai.errors import LeptonError, ResourceExhausted
from lepton_ai.mesh.leased_memory.owner import LeasedMemory
from lepton_ai.mesh.serving.deadline import remaining_s
from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.pipeline import Pipeline, describe_operations
from lepton_ai.v1 import common_pb2, preprocess_pb2, preprocess_pb2_grpc
from services.preprocess.pipelines import PipelineCache
from services.preprocess.processor import failure
from services.preprocess.settings import PreprocessSettings
from services.preprocess.stream import StreamSession
from services.preprocess.workers import Job, Workers

SERVICE_NAME = "lepton.v1.PreprocessService"

Context = grpc.aio.ServicerContext[Any, Any]


class PreprocessServicer(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Turns messages into jobs and back. `draining` is set when the server wants its streams to end."""

    def __init__(
        self,
        workers: Workers,
        tracing: Tracing,
        settings: PreprocessSettings,
        *,
        draining: asyncio.Event,
        memory: LeasedMemory | None = None,
    ) -> None:
        self._workers = workers
        self._tracing = tracing
        self._settings = settings
        self._draining = draining
        self._memory = memory
        self._cache = PipelineCache(max_pipelines=settings.max_pipelines, max_bytes=settings.max_pipelines_bytes)
        self._operations = preprocess_pb2.ListOperationsResponse(
            operations=[preprocess_pb2.Operation(**vars(operation)) for operation in describe_operations()]
        )

    async def Preprocess(  # noqa: N802
        self, request: preprocess_pb2.PreprocessRequest, context: Context
    ) -> preprocess_pb2.PreprocessResponse:
        """One batch; every item gets tensors or an error of its own."""
        if len(request.items) > self._settings.max_batch_items:
            raise ResourceExhausted(
                f"{len(request.items)} items in one call, at most {self._settings.max_batch_items} are allowed.",
                reason="BATCH_TOO_LARGE",
                fix="Split the batch, or use PreprocessStream.",
            )
        pipeline = await self._cache.load(request.pipeline)
        deadline_s = time.monotonic() + remaining_s(context)
        return preprocess_pb2.PreprocessResponse(results=await self._all(pipeline, request.items, deadline_s))

    async def PreprocessStream(  # noqa: N802
        self, requests: AsyncIterator[preprocess_pb2.PreprocessStreamRequest], context: Context
    ) -> AsyncIterator[preprocess_pb2.PreprocessStreamResponse]:
        """Micro-batches in, results out as they are done."""
        session = StreamSession(self._cache, self._workers, self._tracing, self._settings, self._memory)
        async for answer in session.answers(until_set(requests, self._draining)):
            yield answer

    async def ListOperations(  # noqa: N802
        self, request: preprocess_pb2.ListOperationsRequest, context: Context
    ) -> preprocess_pb2.ListOperationsResponse:
        """What pipelines may consist of."""
        return self._operations

    async def _all(
        self, pipeline: Pipeline, items: Sequence[common_pb2.Item], deadline_s: float
    ) -> list[preprocess_pb2.ItemResult]:
        batch = [self._begin(pipeline, item, deadline_s) for item in items]
        try:
            return [await result for _, result in batch]
        finally:
            for job, result in batch:
                if not result.done():
                    self._workers.cancel(job)

    def _begin(
        self, pipeline: Pipeline, item: common_pb2.Item, deadline_s: float
    ) -> tuple[Job, asyncio.Future[preprocess_pb2.ItemResult]]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[preprocess_pb2.ItemResult] = loop.create_future()
        result = preprocess_pb2.ItemResult()
        span = self._tracing.begin("item", parent=otel_context.get_current())

        def finish() -> None:
            loop.call_soon_threadsafe(_resolve, done, result)

        job = Job(pipeline, item, deadline_s=deadline_s, span=span, result=result, finish=finish)
        try:
            self._workers.submit(job)
        except LeptonError as error:
            done.set_result(failure(error, span))
            span.end()
        return job, done


def _resolve(result: asyncio.Future[preprocess_pb2.ItemResult], value: preprocess_pb2.ItemResult) -> None:
    if not result.done():
        result.set_result(value)
