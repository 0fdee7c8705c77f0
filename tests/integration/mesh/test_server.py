"""The server of the mesh on a real port: health, reflection, registration, metrics, a drain that ends streams."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lepton_ai.errors import NotFound
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.mesh.serving.server import Server
from lepton_ai.testing import MemoryStore, eventually, quick_settings, running
from lepton_ai.v1 import preprocess_pb2
from tests.integration.mesh.echo import SERVICE, Echo, EchoStub, add_echo

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
PREPROCESS = preprocess_pb2.DESCRIPTOR.services_by_name["PreprocessService"].full_name


def health_stub(channel: grpc.aio.Channel) -> Any:
    """Untyped, as grpc_health's stubs name no methods."""
    return health_pb2_grpc.HealthStub(channel)


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    answer = await health_stub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    return int(answer.status)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_not_serving_until_ready(service: str) -> None:
    async with running((add_echo, Echo(), SERVICE), ready=False) as served:
        assert await health_of(served.channel, service) == NOT_SERVING
        await served.server.ready()
        assert await health_of(served.channel, service) == SERVING


async def test_health_of_an_unknown_service_is_not_found() -> None:
    async with running() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(served.channel, "pkg.Nobody")
    assert isinstance(from_rpc_error(caught.value), NotFound)


async def test_watching_health_shows_the_whole_life_and_ends_with_the_server() -> None:
    async with running((add_echo, Echo(), SERVICE), ready=False) as served:
        stub = health_stub(served.channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(2)]
        for watching in watches:
            assert (await watching.read()).status == NOT_SERVING
        await served.server.ready()
        for watching in watches:
            assert (await watching.read()).status == SERVING
        begin_s = time.monotonic()
        await served.server.drain()
        for watching in watches:
            assert (await watching.read()).status == NOT_SERVING
            assert await watching.read() is grpc.aio.EOF
            assert await watching.code() is grpc.StatusCode.OK
        assert time.monotonic() - begin_s < 1  # drain_s is 2


async def test_reflection_lists_what_is_served_and_describes_it() -> None:
    async with running((add_echo, Echo(), PREPROCESS)) as served:  # what handlers do is no matter to reflection
        untyped: Any = reflection_pb2_grpc.ServerReflectionStub
        stub = untyped(served.channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=PREPROCESS),
        ]
        listed, described = [each async for each in stub.ServerReflectionInfo(iter(requests))]
    assert {each.name for each in listed.list_services_response.service} == {
        PREPROCESS,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert b"PreprocessStream" in described.file_descriptor_response.file_descriptor_proto[0]


async def test_ready_registers_in_discovery_and_drain_leaves_it_first() -> None:
    state = MemoryStore()
    watching = await watch_endpoints(state, "test")
    async with running((add_echo, Echo(), SERVICE), state=state, ready=False) as served:
        assert watching.addresses == frozenset()
        await served.server.ready()
        await eventually(lambda: watching.addresses == {served.address}, description="the server is registered")
        answers_s = asyncio.ensure_future(served.server.drain())
        await eventually(lambda: watching.addresses == frozenset(), description="the server has left")
        await answers_s
    await watching.close()
    await state.close()


async def test_a_drain_without_discovery_does_not_wait_for_it() -> None:
    state = MemoryStore()
    async with running(state=state) as served:
        await eventually(lambda: bool(served.address), description="served")
        state.down()
        begin_s = time.monotonic()
        await served.server.drain()
        assert time.monotonic() - begin_s < 3
    state.up()
    await state.close()


async def test_ready_after_drain_changes_nothing() -> None:
    state = MemoryStore()
    async with running(state=state, ready=False) as served:
        await served.server.drain()
        await served.server.ready()
        assert served.server.health.status() == NOT_SERVING
        assert await state.list("/lepton/endpoints/") == {}
    await state.close()


async def test_metrics_are_on_a_page() -> None:
    async with running((add_echo, Echo(), SERVICE), settings=quick_settings(metrics_port=0)) as served:
        await EchoStub(served.channel).send("UnaryUnary", "a")
        url = f"http://127.0.0.1:{served.server.metrics_port}/metrics"

        def read() -> str:
            with urlopen(url, timeout=5) as page:
                return str(page.read().decode())

        assert (
            f'lepton_rpc_server_seconds_count{{caller="client",code="OK",method="{SERVICE}/UnaryUnary"}} 1.0'
            in await asyncio.to_thread(read)
        )


class _Patient(Echo):
    """A long-lived stream that ends when its server drains, after what it has read is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.server: Server | None = None
        self.hold = asyncio.Event()
        self.has_read = asyncio.Event()

    async def stream_stream(self, requests, context):  # type: ignore[no-untyped-def]
        assert self.server is not None
        async for request in until_set(requests, self.server.draining):
            self.has_read.set()
            await self.hold.wait()
            yield request


async def test_long_lived_streams_end_cleanly_at_drain_after_what_is_in_flight() -> None:
    servicer = _Patient()
    async with running((add_echo, servicer, SERVICE), settings=quick_settings(drain_s=30)) as served:
        servicer.server = served.server
        stub = EchoStub(served.channel)
        busy, idle = stub.StreamStream(), stub.StreamStream()
        await busy.write(StringValue(value="in flight"))
        await idle.wait_for_connection()
        await eventually(lambda: served.metrics.in_flight == 2, description="both streams are open")
        await asyncio.wait_for(servicer.has_read.wait(), 5)
        draining = asyncio.ensure_future(served.server.drain())
        assert await asyncio.wait_for(idle.read(), 5) is grpc.aio.EOF
        assert await idle.code() is grpc.StatusCode.OK
        assert not draining.done()
        servicer.hold.set()
        answer = await busy.read()
        assert isinstance(answer, StringValue)
        assert answer.value == "in flight"
        assert await asyncio.wait_for(busy.read(), 5) is grpc.aio.EOF
        await asyncio.wait_for(draining, 5)


async def test_one_part_that_fails_to_close_does_not_keep_the_others_from_closing() -> None:
    closed: list[str] = []

    async def fail() -> None:
        closed.append("failing")
        raise RuntimeError("stuck")

    async def succeed() -> None:
        closed.append("succeeding")

    async with running() as served:
        served.server.on_close(succeed)
        served.server.on_close(fail)
    assert closed == ["failing", "succeeding"]


async def test_parts_close_only_when_the_handlers_of_cancelled_calls_have_cleaned_up() -> None:
    events: list[str] = []
    may_end = asyncio.Event()

    async def clean_up_slowly(_: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cleans up")
            await may_end.wait()
            events.append("is clean")
        return "never"

    async def close() -> None:
        events.append("closes")

    async with running((add_echo, Echo(clean_up_slowly), SERVICE)) as served:
        served.server.on_close(close)
        call = asyncio.ensure_future(EchoStub(served.channel).send("UnaryUnary", "a"))
        await eventually(lambda: served.metrics.in_flight == 1, description="the call has arrived")
        call.cancel()
        await eventually(lambda: events == ["cleans up"], description="the handler is cancelled")
        draining = asyncio.ensure_future(served.server.drain())
        await eventually(lambda: served.server.draining.is_set(), description="the drain has begun")
        asyncio.get_running_loop().call_later(0.2, may_end.set)
        await draining
    assert events == ["cleans up", "is clean", "closes"]
