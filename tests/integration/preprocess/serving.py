"""A preprocess service on a real gRPC server, and what a caller of it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from lepton_ai.mesh.leased_memory.reader import OpenedMemory
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import common_pb2, preprocess_pb2
from lepton_ai.v1.preprocess_pb2_grpc import PreprocessServiceStub
from services.preprocess.settings import PreprocessSettings
from services.preprocess.wiring import add_preprocess
from services.preprocess.workers import Workers

if TYPE_CHECKING:
    from lepton_ai.v1.preprocess_pb2_grpc import PreprocessServiceAsyncStub


@dataclass(frozen=True)
class Served:
    """A running service: its stub, and what tests look into."""

    stub: PreprocessServiceAsyncStub
    address: str
    server: Server
    workers: Workers
    metrics: Metrics


@asynccontextmanager
async def preprocess_service(*, tracing: Tracing | None = None, **changes: Any) -> AsyncIterator[Served]:
    settings = PreprocessSettings.model_construct(**{"propagation_s": 0.0, "drain_s": 5.0, **changes})
    tracing = tracing or Tracing("preprocess", ratio=0.0, on_end=None)
    metrics = Metrics("preprocess")
    server = Server("preprocess", settings, state=None, tracing=tracing, metrics=metrics)
    workers = add_preprocess(server, settings, tracing=tracing, metrics=metrics)
    address = await server.start()
    try:
        await server.ready()
        async with grpc.aio.insecure_channel(address) as channel:
            yield Served(PreprocessServiceStub(channel), address, server, workers, metrics)
    finally:
        await server.drain()


class Stream:
    """The client's end of a PreprocessStream."""

    def __init__(self, stub: PreprocessServiceAsyncStub) -> None:
        self.call: Any = stub.PreprocessStream()
        self.pipeline_errors: list[preprocess_pb2.PipelineError] = []
        self.message_sizes: list[int] = []
        self.memory: OpenedMemory | None = None
        self.leases: list[int] = []
        """Of tensors that came through memory, in the order of their arrival; released by `release`."""

    async def open_memory(self) -> None:
        """Take tensors out of the server's memory from now on."""
        await self._use(wanted=True)
        offer = (await self.call.read()).memory
        self.memory = OpenedMemory.open(offer)
        await self._use(opened=offer.token)

    async def release(self) -> None:
        """All leases so far."""
        await self._use(released=self.leases)

    async def _use(self, **use: Any) -> None:
        message = preprocess_pb2.PreprocessStreamRequest(memory=preprocess_pb2.MemoryUse(**use))
        await self.call.write(message)

    async def define(self, pipeline: Pipeline | preprocess_pb2.Pipeline) -> None:
        message = pipeline.to_proto() if isinstance(pipeline, Pipeline) else pipeline
        await self.call.write(preprocess_pb2.PreprocessStreamRequest(define=message))

    async def send(self, digest: str, items: dict[int, common_pb2.Item], **fields: Any) -> None:
        batch = preprocess_pb2.MicroBatch(
            pipeline_digest=digest,
            items=[preprocess_pb2.StreamItem(id=number, item=item, **fields) for number, item in items.items()],
        )
        await self.call.write(preprocess_pb2.PreprocessStreamRequest(batch=batch))

    async def cancel(self, *ids: int) -> None:
        message = preprocess_pb2.CancelItems(ids=ids)
        await self.call.write(preprocess_pb2.PreprocessStreamRequest(cancel=message))

    async def read(self, count: int) -> dict[int, preprocess_pb2.ItemResult]:
        """The next `count` results by id, in the order of their arrival."""
        results: dict[int, preprocess_pb2.ItemResult] = {}
        while len(results) < count:
            message = await self.call.read()
            assert message is not grpc.aio.EOF, f"the stream ended after {len(results)} of {count} results"
            self._note(message, results)
        return results

    async def read_pipeline_error(self) -> preprocess_pb2.PipelineError:
        message = await self.call.read()
        assert message.HasField("pipeline_error")
        return message.pipeline_error  # type: ignore[no-any-return]

    async def finish(self) -> dict[int, preprocess_pb2.ItemResult]:
        """Say that nothing more comes and read what is left."""
        await self.call.done_writing()
        return await self.rest()

    async def rest(self) -> dict[int, preprocess_pb2.ItemResult]:
        """Everything until the stream ends."""
        results: dict[int, preprocess_pb2.ItemResult] = {}
        while (message := await self.call.read()) is not grpc.aio.EOF:
            self._note(message, results)
        return results

    def _note(
        self, message: preprocess_pb2.PreprocessStreamResponse, results: dict[int, preprocess_pb2.ItemResult]
    ) -> None:
        if message.HasField("pipeline_error"):
            self.pipeline_errors.append(message.pipeline_error)
        self.message_sizes.append(len(message.results))
        for result in message.results:
            assert result.id not in results, "answered twice"
            results[result.id] = result.result
            if result.result.HasField("lease"):
                self._copy(result.result)

    def _copy(self, result: preprocess_pb2.ItemResult) -> None:
        shared = [tensor for tensor in result.tensors.tensors if tensor.HasField("shared_memory")]
        assert shared and self.memory is not None
        contents = self.memory.copy(result.lease, [tensor.shared_memory for tensor in shared])
        assert contents is not None, "the lease has ended"
        for tensor, content in zip(shared, contents, strict=True):
            tensor.data = content
        self.leases.append(result.lease.number)


def photo(data: bytes) -> common_pb2.Item:
    return common_pb2.Item(inputs={"photo": common_pb2.Value(data=data)})
