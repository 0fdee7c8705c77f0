"""Calls of a port as ASGI brings them: how they are cut short, held up and sent together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from lepton_ai.mesh.serving.transports.pyvoy.methods import Methods
from lepton_ai.mesh.serving.transports.pyvoy.port import Port
from lepton_ai.mesh.serving.transports.pyvoy.wire import frame
from lepton_ai.testing import eventually
from tests.unit.mesh.serving.transports.asgi_client import AsgiCall

_MAX_BYTES = 100_000


class Handlers:
    """Raw bytes in and out."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.events: list[str] = []
        self.contexts: list[Any] = []
        self.written = 0

    async def unary(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        try:
            if request == b"wait":
                await self.release.wait()
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise
        return request

    async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(int(request)):
            yield b"x" * 1000
            self.written += 1

    async def both(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def failing(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("why", "ä"),))
        return request


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
def port(handlers: Handlers) -> Port:
    methods = Methods(())
    raw: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(handlers.unary),
        "Many": grpc.unary_stream_rpc_method_handler(handlers.many),
        "Both": grpc.stream_stream_rpc_method_handler(handlers.both),
        "Failing": grpc.unary_unary_rpc_method_handler(handlers.failing),
        "Sync": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
    }
    methods.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("p.S", raw),))
    return Port(methods, max_bytes=_MAX_BYTES, max_calls=3, default_timeout_s=0.05)


def message(payload: bytes) -> bytes:
    return frame(payload, _MAX_BYTES)


async def done(call: AsgiCall) -> dict[bytes, bytes]:
    await asyncio.wait_for(call.task, 2)
    return call.trailers


async def test_a_unary_call_is_three_events(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Unary")
    call.bring(message(b"abc"))
    assert (await done(call))[b"grpc-status"] == b"0"
    assert [event["type"] for event in call.events] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert call.bodies == [message(b"abc")]
    assert port.in_flight == 0


async def test_a_message_may_come_in_pieces(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Unary")
    for part in (b"\0\0", b"\0\0\3", b"a", b"bc"):
        call.bring(part, more=part != b"bc")
    await done(call)
    assert call.bodies == [message(b"abc")]


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/p.S/Nothing", {}, grpc.StatusCode.UNIMPLEMENTED),
        ("/p.S/Sync", {}, grpc.StatusCode.UNIMPLEMENTED),
        ("/p.S/Unary", {"content_type": "text/html"}, grpc.StatusCode.INTERNAL),
        ("/p.S/Unary", {"te": ""}, grpc.StatusCode.INTERNAL),
        ("/p.S/Unary", {"grpc_timeout": "soon"}, grpc.StatusCode.INTERNAL),
        ("/p.S/Unary", {"grpc_encoding": "gzip"}, grpc.StatusCode.UNIMPLEMENTED),
    ],
)
async def test_what_is_no_call_of_ours_is_refused(
    port: Port, path: str, headers: dict[str, str], code: grpc.StatusCode
) -> None:
    call = AsgiCall(port, path, **headers)
    assert (await done(call))[b"grpc-status"] == b"%d" % code.value[0]
    assert call.events[-1] == {"type": "http.response.body", "body": b""}


async def test_one_call_too_many_is_refused_and_its_place_is_nobodys(port: Port, handlers: Handlers) -> None:
    waiting = [AsgiCall(port, "/p.S/Unary") for _ in range(3)]
    for call in waiting:
        call.bring(message(b"wait"))
    await eventually(lambda: len(handlers.contexts) == 3, description="three are at work")
    assert (await done(AsgiCall(port, "/p.S/Unary")))[b"grpc-status"] == b"8"
    handlers.release.set()
    await asyncio.gather(*(done(call) for call in waiting))
    assert port.in_flight == 0


async def test_a_deadline_answers_at_once_and_cancels_the_handler(port: Port, handlers: Handlers) -> None:
    call = AsgiCall(port, "/p.S/Unary", grpc_timeout="20m")
    call.bring(message(b"wait"))
    assert (await done(call))[b"grpc-status"] == b"4"
    assert handlers.events == ["cancelled"]
    assert handlers.contexts[0].time_remaining() == 0


async def test_a_request_that_never_ends_is_given_up(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Unary")
    call.bring(b"\0\0\0\0\3a", more=True)
    await eventually(lambda: call.trailers.get(b"grpc-status") == b"4", description="the call is ended")
    call.disconnect()  # as Envoy does then
    await done(call)


async def test_a_client_that_leaves_cancels_the_handler(port: Port, handlers: Handlers) -> None:
    read, write = os.pipe()
    try:
        port.watch_gone(read)
        call = AsgiCall(port, "/p.S/Unary")
        call.bring(message(b"wait"))
        await eventually(lambda: port.in_flight == 1 and handlers.contexts != [], description="it is at work")
        os.write(write, b"another\n" + call.id[:3])
        os.write(write, call.id[3:] + b"\n")
        await asyncio.wait_for(call.task, 2)
        assert handlers.events == ["cancelled"]
        assert handlers.contexts[0].cancelled()
        assert call.events == []
    finally:
        asyncio.get_running_loop().remove_reader(read)
        os.close(read)
        os.close(write)


async def test_a_client_that_leaves_before_its_request_is_there_starts_nothing(port: Port, handlers: Handlers) -> None:
    call = AsgiCall(port, "/p.S/Unary")
    call.disconnect()
    await asyncio.wait_for(call.task, 2)
    assert (handlers.contexts, call.events, port.in_flight) == ([], [], 0)


async def test_answers_that_are_ready_together_are_sent_together(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Many")
    call.bring(message(b"20"))
    assert (await done(call))[b"grpc-status"] == b"0"
    assert b"".join(call.bodies) == message(b"x" * 1000) * 20
    assert len(call.bodies) <= 2


async def test_a_stream_that_nobody_reads_writes_no_more_than_its_share(port: Port, handlers: Handlers) -> None:
    call = AsgiCall(port, "/p.S/Many")
    call.holds = True
    call.bring(message(b"1000"))
    await eventually(lambda: handlers.written > 0, description="it writes")
    for _ in range(20):
        await asyncio.sleep(0)
    assert handlers.written * 1000 <= 70_000
    call.read()
    assert (await done(call))[b"grpc-status"] == b"0"
    assert b"".join(call.bodies) == message(b"x" * 1000) * 1000


async def test_requests_that_come_together_are_answered_one_by_one(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Both")
    call.bring(message(b"a") + message(b"b") + message(b"c")[:2], more=True)
    call.bring(message(b"c")[2:])
    assert (await done(call))[b"grpc-status"] == b"0"
    assert b"".join(call.bodies) == message(b"a") + message(b"b") + message(b"c")


async def test_a_stream_that_ends_within_a_message_fails(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Both")
    call.bring(message(b"a") + b"\0\0")
    assert (await done(call))[b"grpc-status"] == b"13"
    assert port.in_flight == 0


async def test_trailing_metadata_that_cannot_be_sent_fails_the_call_alone(port: Port) -> None:
    call = AsgiCall(port, "/p.S/Failing")
    call.bring(message(b"a"))
    assert (await done(call))[b"grpc-status"] == b"2"


async def test_cutting_all_calls_ends_them(port: Port, handlers: Handlers) -> None:
    call = AsgiCall(port, "/p.S/Unary")
    call.bring(message(b"wait"))
    await eventually(lambda: handlers.contexts != [], description="it is at work")
    port.cut()
    assert (await done(call))[b"grpc-status"] == b"14"
    await asyncio.wait_for(port.until_idle(), 2)
