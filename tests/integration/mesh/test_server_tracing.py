"""Traces over a real connection: who continues whom, in every shape, and how spans say that something failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry.trace import SpanKind, StatusCode

from lepton_ai.errors import NotFound
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.tracing import TRACE_ID_TRAILER, client_interceptors, current_trace_id
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.testing import CapturedSpans, captured_spans, eventually, running
from tests.integration.mesh.echo import SERVICE, SHAPES, Act, Echo, EchoStub, add_echo, repeat

PREPROCESS = "lepton.v1.PreprocessService"
_ID = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def traced_echo(captured: CapturedSpans, act: Act = repeat) -> AsyncIterator[EchoStub]:
    """An echo server and a client that both trace into `captured`."""
    async with running((add_echo, Echo(act), SERVICE), tracing=captured.tracing) as served:
        interceptors = client_interceptors(captured.tracing.tracer, address=served.address)
        async with grpc.aio.insecure_channel(served.address, interceptors=interceptors) as channel:
            yield EchoStub(channel)


async def both(captured: CapturedSpans, shape: str) -> tuple[RecordedSpan, RecordedSpan]:
    """The client's and the server's span of the one call that was made."""
    spans = await captured.wait_for(f"{SERVICE}/{shape}", count=2)
    client, server = sorted(spans, key=lambda span: span.kind is SpanKind.SERVER)
    return client, server


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_is_one_client_span_with_one_server_span_below(shape: str) -> None:
    with captured_spans() as captured:
        async with traced_echo(captured) as stub:
            assert await stub.send(shape, "abc") == "abc"
            client, server = await both(captured, shape)
        assert (client.kind, server.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
        assert client.parent is None
        assert server.parent is not None
        assert server.parent.span_id == client.get_span_context().span_id
        assert server.attributes == {
            "rpc.system.name": "grpc",
            "rpc.method": f"{SERVICE}/{shape}",
            "rpc.response.status_code": "OK",
        }
        assert client.attributes is not None
        assert client.attributes["server.address"] == "127.0.0.1"
        assert isinstance(client.attributes["server.port"], int)
        assert len(captured.spans) == 2


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_error_marks_both_spans_with_the_final_code(shape: str) -> None:
    async def act(text: str) -> str:
        raise NotFound("no model 'cat'")

    with captured_spans() as captured:
        async with traced_echo(captured, act) as stub:
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.send(shape, "a")
            for span in await both(captured, shape):
                assert span.status.status_code is StatusCode.ERROR
                assert span.status.description == "no model 'cat'"
                assert span.attributes is not None
                assert span.attributes["rpc.response.status_code"] == "NOT_FOUND"
                assert span.attributes["error.type"] == "NOT_FOUND"


@pytest.mark.parametrize("shape", SHAPES)
async def test_unknown_exceptions_are_internal_in_spans_without_their_text(shape: str) -> None:
    async def act(text: str) -> str:
        raise ValueError("secret")

    with captured_spans() as captured:
        async with traced_echo(captured, act) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.send(shape, "a")
            client, server = await both(captured, shape)
        assert server.attributes is not None
        assert server.attributes["error.type"] == "INTERNAL"
        assert "secret" not in repr(server) + repr(client)
        assert f"{server.get_span_context().trace_id:032x}" in from_rpc_error(caught.value).fix


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_client_that_gives_up_ends_handler_and_spans(shape: str, caplog: pytest.LogCaptureFixture) -> None:
    working, ended = asyncio.Event(), asyncio.Event()

    async def act(text: str) -> str:
        working.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return text

    with captured_spans() as captured:
        async with traced_echo(captured, act) as stub:
            call = asyncio.ensure_future(stub.send(shape, "abc"))
            await asyncio.wait_for(working.wait(), 5)
            call.cancel()
            await asyncio.wait((call,))
            await asyncio.wait_for(ended.wait(), 5)
            for span in await both(captured, shape):
                assert span.attributes is not None
                assert span.attributes["rpc.response.status_code"] == "CANCELLED"
                assert span.status.status_code is StatusCode.UNSET, "who leaves has not seen it fail"
                assert "error.type" not in span.attributes
    assert caplog.records == []


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_deadline_that_passes_is_deadline_exceeded_on_both_sides(shape: str) -> None:
    async def act(text: str) -> str:
        await asyncio.Event().wait()
        return text

    with captured_spans() as captured:
        async with traced_echo(captured, act) as stub:
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.send(shape, "abc", timeout=0.2)
            codes = {(span.attributes or {})["rpc.response.status_code"] for span in await both(captured, shape)}
    assert codes == {"DEADLINE_EXCEEDED"}


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_the_decision_of_a_foreign_caller_is_followed(flags: str) -> None:
    seen: list[str | None] = []

    async def act(text: str) -> str:
        seen.append(current_trace_id())
        return text

    with captured_spans(ratio=0.5) as captured:
        async with running((add_echo, Echo(act), SERVICE), tracing=captured.tracing) as served:
            metadata = (("traceparent", f"00-{_ID}-b7ad6b7169203331-{flags}"),)
            await EchoStub(served.channel).send("UnaryUnary", "a", metadata=metadata)
        assert seen == [_ID]
        assert len(captured.spans) == int(flags)


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_unsampled_root_makes_no_span_anywhere_below(shape: str) -> None:
    seen: set[str | None] = set()

    async def act(text: str) -> str:
        seen.add(current_trace_id())
        return text

    with captured_spans(ratio=0.0) as client, captured_spans(ratio=1.0) as server:
        async with running((add_echo, Echo(act), SERVICE), tracing=server.tracing) as served:
            interceptors = client_interceptors(client.tracing.tracer)
            async with grpc.aio.insecure_channel(served.address, interceptors=interceptors) as channel:
                await EchoStub(channel).send(shape, "abc")
        assert (client.names, server.names) == ([], [])
    assert len(seen) == 1
    assert None not in seen


async def test_the_trace_id_comes_back_with_answers_and_with_errors() -> None:
    async def act(text: str) -> str:
        if text == "!":
            raise NotFound("no")
        return text

    with captured_spans() as captured:
        async with running((add_echo, Echo(act), SERVICE), tracing=captured.tracing) as served:
            stub = EchoStub(served.channel)
            for text in "a!":
                call = stub.UnaryUnary(StringValue(value=text))
                trailing = dict(await call.trailing_metadata())
                spans = await captured.wait_for(f"{SERVICE}/UnaryUnary")
                assert trailing[TRACE_ID_TRAILER] == f"{spans[-1].get_span_context().trace_id:032x}"
                captured.clear()


async def test_unsampled_answers_carry_no_trace_id() -> None:
    async with running((add_echo, Echo(), SERVICE)) as served:
        call = EchoStub(served.channel).UnaryUnary(StringValue(value="a"))
        assert TRACE_ID_TRAILER not in dict(await call.trailing_metadata())


async def test_calls_made_by_a_handler_are_below_its_span() -> None:
    with captured_spans() as captured:
        async with (
            traced_echo(captured) as inner,
            traced_echo(captured, lambda text: inner.send("StreamStream", text)) as outer,
        ):
            await outer.send("UnaryUnary", "abc")
            await captured.wait_for(f"{SERVICE}/UnaryUnary", count=2)
            await captured.wait_for(f"{SERVICE}/StreamStream", count=2)
        assert len({span.get_span_context().trace_id for span in captured.spans}) == 1
        (server,) = [span for span in captured.named(f"{SERVICE}/UnaryUnary") if span.kind is SpanKind.SERVER]
        (client,) = [span for span in captured.named(f"{SERVICE}/StreamStream") if span.kind is SpanKind.CLIENT]
        assert client.parent == server.get_span_context()


class _Stream:
    """The handler of a per-message stream, which notes the trace that it finds itself in at each message."""

    def __init__(self) -> None:
        self.ambient: list[str | None] = []

    async def handle(self, requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for request in requests:
            self.ambient.append(current_trace_id())
            yield request


def add_stream(servicer: _Stream, server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {"PreprocessStream": grpc.stream_stream_rpc_method_handler(servicer.handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PREPROCESS, handlers),))


async def test_per_message_streams_have_no_span_of_their_own_on_either_side() -> None:
    with captured_spans() as captured:
        servicer = _Stream()
        with captured.tracing.span("somebody who happens to start the server"):
            async with running((add_stream, servicer, PREPROCESS), tracing=captured.tracing) as served:
                interceptors = client_interceptors(captured.tracing.tracer)
                async with grpc.aio.insecure_channel(served.address, interceptors=interceptors) as channel:
                    call: Any = channel.stream_stream(f"/{PREPROCESS}/PreprocessStream")
                    assert [answer async for answer in call(iter([b"1", b"2"]))] == [b"1", b"2"]
        assert servicer.ambient == [None, None]
        assert captured.names == ["somebody who happens to start the server"]


async def test_the_length_of_a_stream_that_its_caller_left_says_nothing() -> None:
    async with running((add_echo, Echo(), SERVICE)) as served:
        call = EchoStub(served.channel).StreamStream()
        await call.write(StringValue(value="a"))
        assert await call.read() == StringValue(value="a")
        call.cancel()
        await eventually(lambda: served.metrics.in_flight == 0, description="the handler has ended")
        labels = {"method": f"{SERVICE}/StreamStream", "code": "CANCELLED", "caller": "client"}
        assert served.metrics.registry.get_sample_value("lepton_rpc_server_seconds_count", labels) is None


async def test_metrics_see_the_final_code() -> None:
    async def act(text: str) -> str:
        raise NotFound("no")

    async with running((add_echo, Echo(act), SERVICE)) as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(served.channel).send("UnaryUnary", "a")
        labels = {"method": f"{SERVICE}/UnaryUnary", "code": "NOT_FOUND", "caller": "client"}
        await eventually(
            lambda: served.metrics.registry.get_sample_value("lepton_rpc_server_seconds_count", labels) == 1,
            description="the failed call is counted",
        )
        assert served.metrics.in_flight == 0
