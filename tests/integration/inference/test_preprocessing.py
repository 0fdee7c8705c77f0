"""The client of the preprocess service: streams, micro-batches, balance, retries, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import context

from lepton_ai.errors import InvalidInput, ResourceExhausted, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.errors import to_status
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.testing import MemoryStore, Running, captured_spans, eventually, running
from lepton_ai.v1 import common_pb2, preprocess_pb2, preprocess_pb2_grpc
from services.inference.preprocessing.streams import StreamedPreprocessing
from tests.unit.inference.colours import item
from tests.unit.inference.parts import NO_TRACING, in_seconds

PIPELINE = preprocess_pb2.Pipeline(digest="d" * 64, document_json="{}")
OTHER = preprocess_pb2.Pipeline(digest="e" * 64, document_json="{}")
Request = preprocess_pb2.PreprocessStreamRequest
Response = preprocess_pb2.PreprocessStreamResponse


@dataclass
class ScriptedReplica(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Answers each item with its own bytes as the pipeline's name says; remembers what it was sent."""

    messages: list[Request] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    errors: dict[bytes, Any] = field(default_factory=dict)
    """Content of an item → the status to answer."""
    forgets: bool = False
    """Whether its tensors lie in memory, and are gone before anybody can read them."""
    streams_ended: int = 0

    @property
    def items(self) -> list[preprocess_pb2.StreamItem]:
        return [each for message in self.messages for each in message.batch.items]

    @property
    def cancelled(self) -> list[int]:
        return [number for message in self.messages for number in message.cancel.ids]

    async def PreprocessStream(self, requests: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:  # noqa: N802
        async for message in requests:
            self.messages.append(message)
            if message.HasField("batch"):
                await self.gate.wait()
                results = [self._result(each) for each in message.batch.items]
                yield Response(results=reversed(results))
        self.streams_ended += 1

    async def Preprocess(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def ListOperations(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    def _result(self, sent: preprocess_pb2.StreamItem) -> preprocess_pb2.StreamResult:
        data = sent.item.inputs["photo"].data
        if data in self.errors:
            return preprocess_pb2.StreamResult(id=sent.id, result=preprocess_pb2.ItemResult(error=self.errors[data]))
        if self.forgets:
            gone = common_pb2.Tensor(name="echo", shared_memory=common_pb2.SharedMemoryRegion(length_bytes=len(data)))
            tensors, lease = common_pb2.TensorList(tensors=[gone]), preprocess_pb2.MemoryLease(number=sent.id)
            return preprocess_pb2.StreamResult(
                id=sent.id, result=preprocess_pb2.ItemResult(tensors=tensors, lease=lease)
            )
        tensor = common_pb2.Tensor(name="echo", data=data)
        tensors = common_pb2.TensorList(tensors=[tensor])
        return preprocess_pb2.StreamResult(id=sent.id, result=preprocess_pb2.ItemResult(tensors=tensors))


@dataclass(frozen=True)
class Service:
    preprocessing: StreamedPreprocessing
    replicas: Sequence[ScriptedReplica]
    servers: Sequence[Running]

    async def process(self, data: bytes, *, timeout_s: float = 5.0, pipeline: Any = PIPELINE) -> bytes:
        made = await self.preprocessing.process(pipeline, item(data), deadline=in_seconds(timeout_s), context=EMPTY)
        return made.result.tensors.tensors[0].data


@asynccontextmanager
async def service(
    *, replicas: int = 1, is_open: bool = True, tracing: Tracing = NO_TRACING, limits: dict[str, int] | None = None
) -> AsyncIterator[Service]:
    store, scripted = MemoryStore(), [ScriptedReplica() for _ in range(replicas)]
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                running(
                    (
                        preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server,
                        replica,
                        "lepton.v1.PreprocessService",
                    ),
                    name="preprocess",
                    state=store,
                )
            )
            for replica in scripted
        ]
        watch = await watch_endpoints(store, "preprocess")
        stack.push_async_callback(watch.close)
        pool = ServicePool("preprocess", watch, doubt_s=0.05)
        await pool.start()
        stack.push_async_callback(pool.close)
        bounds = {"max_items": 100, "max_bytes": 1 << 20, **(limits or {})}
        preprocessing = StreamedPreprocessing(pool, tracing, **bounds)
        await preprocessing.start()
        stack.push_async_callback(preprocessing.close)
        for replica in scripted:
            if is_open:
                replica.gate.set()
            stack.callback(replica.gate.set)
        yield Service(preprocessing, scripted, servers)


async def test_every_item_gets_its_own_result_though_they_come_back_in_another_order() -> None:
    async with service(replicas=2) as served:
        sent = [str(number).encode() for number in range(60)]
        assert await asyncio.gather(*map(served.process, sent)) == sent
        assert all(replica.items for replica in served.replicas), "both replicas got a share"


async def test_what_is_ready_together_travels_in_one_message_and_pipelines_are_defined_once() -> None:
    async with service() as served:
        for pipeline in (PIPELINE, OTHER, PIPELINE):
            await asyncio.gather(*(served.process(b"x", pipeline=pipeline) for _ in range(10)))
        (replica,) = served.replicas
        kinds = [message.WhichOneof("kind") for message in replica.messages]
        assert kinds == ["define", "batch", "define", "batch", "batch"]
        assert [len(message.batch.items) for message in replica.messages if message.HasField("batch")] == [10] * 3


async def test_an_items_own_error_is_raised_for_it_alone() -> None:
    async with service() as served:
        bad = InvalidInput.of_field("inputs.photo", "is no image")
        served.replicas[0].errors[b"bad"] = to_status(bad)
        good, failure = await asyncio.gather(served.process(b"good"), served.process(b"bad"), return_exceptions=True)
        assert good == b"good"
        assert isinstance(failure, InvalidInput)
        assert failure.fields == bad.fields


async def test_items_of_a_replica_that_dies_go_to_another_one() -> None:
    async with service(replicas=2, is_open=False) as served:
        calls = [asyncio.ensure_future(served.process(str(number).encode())) for number in range(30)]
        first, second = served.replicas
        await eventually(lambda: len(first.items) + len(second.items) == 30, description="all items were sent")
        assert first.items
        second.gate.set()
        await served.servers[0].server.stop_now()
        assert await asyncio.gather(*calls) == [str(number).encode() for number in range(30)]


async def test_items_of_a_stream_that_ends_while_its_replica_drains_go_to_another_one() -> None:
    async with service(replicas=2) as served:
        answers = asyncio.gather(*(served.process(str(number).encode()) for number in range(20)))
        await served.servers[0].server.drain()
        assert len(await answers) == 20
        assert await served.process(b"after") == b"after"


async def test_a_replica_that_left_gets_its_stream_closed() -> None:
    async with service(replicas=1) as served:
        await served.process(b"x")
        publication = served.servers[0].server._publication
        assert publication is not None
        await publication.withdraw()
        await eventually(lambda: served.replicas[0].streams_ended == 1, description="the stream was closed")


async def test_a_replica_that_refuses_is_avoided() -> None:
    async with service(replicas=2) as served:
        refusal = to_status(ResourceExhausted("full", retry_after_s=0.1))
        served.replicas[0].errors[b"x"] = refusal
        assert await served.process(b"x") == b"x"
        served.replicas[1].errors[b"x"] = refusal
        with pytest.raises(ResourceExhausted):
            await served.process(b"x", timeout_s=0.05)


async def test_an_item_whose_tensors_are_gone_goes_to_another_replica() -> None:
    async with service(replicas=2) as served:
        served.replicas[0].forgets = True
        assert await asyncio.gather(*(served.process(b"x") for _ in range(4))) == [b"x"] * 4
        assert served.replicas[0].items
        served.replicas[1].forgets = True
        with pytest.raises(Unavailable) as failure:
            await served.process(b"x", timeout_s=0.2)
        assert failure.value.reason == "TENSORS_GONE"


async def test_without_a_replica_it_says_what_to_start() -> None:
    async with service(replicas=0) as served:
        with pytest.raises(Unavailable) as failure:
            await served.process(b"x")
        assert "preprocess" in failure.value.fix


async def test_a_caller_that_gives_up_has_its_item_cancelled() -> None:
    async with service(is_open=False) as served:
        (replica,) = served.replicas
        call = asyncio.ensure_future(served.process(b"x"))
        await eventually(lambda: replica.items, description="the item was sent")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        replica.gate.set()
        await eventually(lambda: replica.cancelled == [replica.items[0].id], description="the item was cancelled")
        assert await served.process(b"y") == b"y"


async def test_the_time_left_travels_with_the_item() -> None:
    async with service() as served:
        await served.process(b"x", timeout_s=2.0)
        assert 1_000_000 < served.replicas[0].items[0].timeout_us <= 2_000_000


@pytest.mark.parametrize(
    ("limits", "kind", "reason"),
    [
        ({"max_items": 1}, ResourceExhausted, "PREPROCESS_QUEUE_FULL"),
        ({"max_bytes": 10}, ResourceExhausted, "PREPROCESS_QUEUE_FULL"),
    ],
)
async def test_what_is_on_the_way_is_bounded(limits: dict[str, int], kind: type[Exception], reason: str) -> None:
    async with service(is_open=False, limits=limits) as served:
        first = asyncio.ensure_future(served.process(b"first"))
        await asyncio.sleep(0)
        with pytest.raises(kind) as refusal:
            await served.process(b"second")
        assert getattr(refusal.value, "reason", None) == reason
        served.replicas[0].gate.set()
        await asyncio.gather(first, return_exceptions=True)


async def test_each_sampled_item_has_a_span_that_the_replica_continues() -> None:
    with captured_spans(ratio=0.0) as captured:
        async with service(tracing=captured.tracing) as served:
            await served.process(b"unsampled")
            with captured_spans(ratio=1.0) as caller, caller.tracing.span("caller"):
                await served.preprocessing.process(
                    PIPELINE, item(b"sampled"), deadline=in_seconds(5), context=context.get_current()
                )
            (span,) = captured.named("lepton.v1.PreprocessService/PreprocessStream")
            unsampled, sampled = served.replicas[0].items
            assert f"{span.context.span_id:016x}-01" in sampled.trace.traceparent
            assert not unsampled.trace.traceparent.endswith("01")
