"""W3C trace context: from and to gRPC metadata, stream messages and the current context of a task."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar, Token
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from lepton_ai.v1 import common_pb2

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
TRACE_ID_TRAILER = "lepton-trace-id"
"""Key of the trailing metadata that names the trace of an answered call."""

PER_MESSAGE_STREAMS = frozenset(
    {
        "lepton.v1.PreprocessService/PreprocessStream",
        "lepton.v1.InferenceService/PredictStream",
        "inference.GRPCInferenceService/ModelStreamInfer",
    }
)
"""Streams that live as long as their processes: their messages have spans and they themselves have none."""

_INFRASTRUCTURE = ("grpc.health.", "grpc.reflection.")

EMPTY = Context()
"""A context without a span. Handlers start from it, never from whatever was current when the server was started."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_TRACESTATE = 512
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_sampled_trace: ContextVar[str] = ContextVar("sampled_trace", default="")


def is_infrastructure(method: str) -> bool:
    """Whether "pkg.Service/Method" is health or reflection, which are neither traced nor counted nor limited."""
    return method.startswith(_INFRASTRUCTURE)


def is_traced(method: str) -> bool:
    """Whether calls of "pkg.Service/Method" get spans of their own."""
    return method not in PER_MESSAGE_STREAMS and not is_infrastructure(method)


def parse(traceparent: str, tracestate: str = "") -> SpanContext | None:
    """The remote span that a traceparent names, or None when it is not valid (then it is ignored, as W3C says)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    flags = _SAMPLED if int(match[4], 16) & TraceFlags.SAMPLED else _NOT_SAMPLED
    state = TraceState.from_header([tracestate]) if tracestate and len(tracestate) <= _MAX_TRACESTATE else None
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def format_traceparent(span: SpanContext) -> str:
    """The traceparent that names this span."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & TraceFlags.SAMPLED:02x}"


def remote_parent(metadata: Iterable[tuple[str, Any]] | None) -> SpanContext | None:
    """The remote span named in a call's metadata, if any."""
    traceparent, tracestate = "", ""
    for key, value in metadata or ():
        if key == TRACEPARENT:
            traceparent = value
        elif key == TRACESTATE:
            tracestate = value
    return parse(traceparent, tracestate) if traceparent else None


def undecided() -> SpanContext:
    """A fresh identity for a call that is not sampled: it names the call in logs and tells others not to sample it."""
    return SpanContext(
        random.getrandbits(128) or 1,
        random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=_NOT_SAMPLED,
    )


def context_of(span: SpanContext | None) -> Context:
    """A context in which `span` is the parent of new spans."""
    return EMPTY if span is None else trace.set_span_in_context(NonRecordingSpan(span), EMPTY)


def context_from(message: common_pb2.TraceContext) -> Context:
    """The context that a stream message came with; an empty one when the message has none or a wrong one."""
    return context_of(parse(message.traceparent, message.tracestate)) if message.traceparent else EMPTY


def trace_context(context: Context | None = None) -> common_pb2.TraceContext:
    """What to send in a stream message so that the other side continues `context` (default: the current one).

    Says "not sampled" too, so that the decision made at the root holds everywhere. Empty without a span.
    """
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return common_pb2.TraceContext()
    message = common_pb2.TraceContext(traceparent=format_traceparent(span))
    if span.trace_state:
        message.tracestate = span.trace_state.to_header()
    return message


def grpc_metadata(context: Context | None = None) -> tuple[tuple[str, str], ...]:
    """Call metadata for a server that ignores the sampled flag, as Triton does: a traceparent only when sampled."""
    span = trace.get_current_span(context).get_span_context()
    return propagation(span) if span.is_valid and span.trace_flags.sampled else ()


def propagation(span: SpanContext) -> tuple[tuple[str, str], ...]:
    """Call metadata that names `span` as the parent, sampled or not."""
    if span.trace_state:
        return (TRACEPARENT, format_traceparent(span)), (TRACESTATE, span.trace_state.to_header())
    return ((TRACEPARENT, format_traceparent(span)),)


def enter_sampled_trace(trace_id: str) -> Token[str]:
    """Note, for this task, that its work is recorded in a trace; the token ends it."""
    return _sampled_trace.set(trace_id)


def leave_sampled_trace(token: Token[str]) -> None:
    """The work is done."""
    _sampled_trace.reset(token)


def sampled_trace_id() -> str:
    """The trace in which the current work is recorded, in hex; empty where it is not sampled.

    For exemplars of metrics. It costs a tenth of asking the current span, and every call asks.
    """
    return _sampled_trace.get()


def current_trace_id() -> str | None:
    """The current trace's id in hex, sampled or not, or None outside of any call. For logs and answers."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None
