"""gRPC client interceptors that pass the trace on and make a CLIENT span for every sampled call, in all four shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from lepton_ai.mesh.retry import REPEAT_KEY
from lepton_ai.mesh.tracing.context import is_traced, propagation
from lepton_ai.mesh.tracing.marks import mark_code
from lepton_ai.mesh.tracing.tracer import RecordingTracer


@dataclass
class CallTrace:
    """The trace that a call of ours began, as far as it is recorded."""

    trace_id: str = ""


_NOTE: ContextVar[CallTrace | None] = ContextVar("lepton_call_trace", default=None)


@contextmanager
def noted_trace() -> Iterator[CallTrace]:
    """Notes the trace of the calls made inside, of several the last one's: known also when no server answers."""
    note = CallTrace()
    token = _NOTE.set(note)
    try:
        yield note
    finally:
        _NOTE.reset(token)


Continuation = Callable[[Any, Any], Awaitable[Any]]
"""(call details, request or requests) → the call. grpc's own types differ per shape and name."""


def client_interceptors(tracer: RecordingTracer, *, address: str | None = None) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for one channel; with `address` (host:port) its spans say who was called."""
    spans = _ClientSpans(tracer, address)
    return [_UnaryUnary(spans), _UnaryStream(spans), _StreamUnary(spans), _StreamStream(spans)]


class _ClientSpans:
    """Starts and ends the spans of calls that go out."""

    def __init__(self, tracer: RecordingTracer, address: str | None) -> None:
        self._tracer = tracer
        self._attributes: dict[str, AttributeValue] = {"rpc.system.name": "grpc"}
        host, _, port = (address or "").rpartition(":")
        if host and port.isdecimal():
            self._attributes |= {"server.address": host.strip("[]"), "server.port": int(port)}
        self._ends: set[asyncio.Task[None]] = set()

    def begin(self, details: Any) -> tuple[Any, Span | None]:
        """The call's details with the trace in its metadata, and its span when it is recorded."""
        method = _method_name(details.method)
        if not is_traced(method):
            return details, None
        attributes = {**self._attributes, "rpc.method": method}
        for key, value in details.metadata or ():
            if key == REPEAT_KEY:  # "retry" or "hedge"
                attributes["lepton.repeat"] = value
        span = self._tracer.start_span(method, otel_context.get_current(), SpanKind.CLIENT, attributes, None)
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *propagation(span.get_span_context()))
        if not span.is_recording():
            return details._replace(metadata=metadata), None
        if (note := _NOTE.get()) is not None:  # gRPC's task for the call has a copy of the context with the same note
            note.trace_id = f"{span.get_span_context().trace_id:032x}"
        return details._replace(metadata=metadata), span

    def end_when_done(self, call: Any, span: Span) -> None:
        """End the span when the call is over, however that comes about; the call itself is handed on untouched."""
        call.add_done_callback(lambda done: self._end_soon(done, span))

    def _end_soon(self, call: Any, span: Span) -> None:
        end = asyncio.ensure_future(_end_span(call, span))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, spans: _ClientSpans) -> None:
        self._spans = spans

    async def intercept_unary_unary(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        details, span = self._spans.begin(client_call_details)
        call = await continuation(details, request)
        if span is not None:
            await _end_with(call, span)
        return call


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, spans: _ClientSpans) -> None:
        self._spans = spans

    async def intercept_unary_stream(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        return await _intercept_stream(self._spans, continuation, client_call_details, request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, spans: _ClientSpans) -> None:
        self._spans = spans

    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await _intercept_stream(self._spans, continuation, client_call_details, request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, spans: _ClientSpans) -> None:
        self._spans = spans

    async def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await _intercept_stream(self._spans, continuation, client_call_details, request_iterator)


async def _intercept_stream(spans: _ClientSpans, continuation: Continuation, details: Any, requests: Any) -> Any:
    """Must not wait for the end of the call: the caller cannot write or read before the interceptor returns."""
    details, span = spans.begin(details)
    call = await continuation(details, requests)
    if span is not None:
        spans.end_when_done(call, span)
    return call


async def _end_with(call: Any, span: Span) -> None:
    """Wait for a unary call, so that its span has ended when the caller has the answer."""
    try:
        await _end_span(call, span)
    except asyncio.CancelledError:
        call.cancel()  # the caller cancelled only this wrapper, and nobody else holds the call
        mark_code(span, grpc.StatusCode.CANCELLED)
        span.end()
        raise


async def _end_span(call: Any, span: Span) -> None:
    """Wait for the call, mark how it ended and end the span."""
    code = await call.code()
    mark_code(span, code, None if code is grpc.StatusCode.OK else await call.details())
    span.end()


def _method_name(method: bytes | str) -> str:
    """grpc.aio hands the method over as bytes: b"/pkg.Service/Method"."""
    return (method.decode() if isinstance(method, bytes) else method).removeprefix("/")
