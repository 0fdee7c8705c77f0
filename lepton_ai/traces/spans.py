"""What is true of one span, however it was sent: which ones cannot be taken, and how its service and times are read."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

NO_SERVICE_NAME = "OTLPResourceNoServiceName"
"""What Jaeger calls the service of a resource without service.name."""

_CODES_OF_LEAVING = (("rpc.response.status_code", "CANCELLED"), ("rpc.grpc.status_code", "1"))
"""As today's and yesterday's conventions of OpenTelemetry have them."""
_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
NO_TRACE_ID = bytes(_TRACE_ID_BYTES)
NO_SPAN_ID = bytes(_SPAN_ID_BYTES)
_MAX_TIME_NS = 2**63 - 1


def service_name(resource: Resource) -> str:
    """The service.name of a resource, or Jaeger's stand-in for it."""
    for attribute in resource.attributes:
        if attribute.key == "service.name" and attribute.value.string_value:
            return attribute.value.string_value
    return NO_SERVICE_NAME


def why_rejected(span: Span, *, max_span_bytes: int | None) -> str:
    """Why a span cannot be taken, empty when it can; without `max_span_bytes` it is known to be small enough."""
    trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
    if len(trace_id) != _TRACE_ID_BYTES or trace_id == NO_TRACE_ID:
        return f"trace id must be {_TRACE_ID_BYTES} bytes, not all zero"
    if len(span_id) != _SPAN_ID_BYTES or span_id == NO_SPAN_ID:
        return f"span id must be {_SPAN_ID_BYTES} bytes, not all zero"
    if parent_id and len(parent_id) != _SPAN_ID_BYTES:
        return f"parent span id must be empty or {_SPAN_ID_BYTES} bytes"
    if span.start_time_unix_nano > _MAX_TIME_NS or span.end_time_unix_nano > _MAX_TIME_NS:
        return "start and end time must be nanoseconds since 1970 that fit in 63 bits"
    if max_span_bytes is not None and (size_bytes := span.ByteSize()) > max_span_bytes:
        return f"a span may have at most {max_span_bytes} bytes, this one has {size_bytes}"
    return ""


def duration_us(start_ns: int, end_ns: int) -> int:
    """A span's duration in µs; 0 when its end is missing or before its start (a clock that was set back)."""
    return max(0, end_ns - start_ns) // 1000


def was_left(tag: Callable[[str], object]) -> bool:
    """Whether a call ended because its caller went, which is how watches end, and no failure whoever marks it as one.

    `tag` gives the span's tag of a name.
    """
    return any(str(tag(name)) == code for name, code in _CODES_OF_LEAVING)
