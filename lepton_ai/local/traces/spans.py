"""From an OTLP export to the rows that the store keeps, and which spans it cannot take."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

NO_SERVICE_NAME = "OTLPResourceNoServiceName"
"""What Jaeger calls the service of a resource without service.name."""

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8
_MAX_TIME_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span as it is stored: what is searched for in columns, all of it as protobuf in `body`.

    `source` is a ResourceSpans message with the resource and scope and no span; spans of one exporter share it.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    service: str
    operation: str
    start_us: int
    duration_us: int
    error: bool
    source: bytes
    body: bytes

    @property
    def size_bytes(self) -> int:
        """What the row counts towards the bound on stored bytes."""
        return len(self.body) + len(self.operation) + len(self.service)


@dataclass(frozen=True)
class Batch:
    """What one export amounts to: rows to write, and how many spans are refused and why (the first reason)."""

    rows: tuple[SpanRow, ...]
    rejected: int = 0
    reason: str = ""


def accept(request: ExportTraceServiceRequest, *, max_span_bytes: int) -> Batch:
    """Turn an export into rows; spans that break a rule are left out and counted, the others are not held back."""
    rows: list[SpanRow] = []
    reasons: list[str] = []
    for resource_spans in request.resource_spans:
        service = service_name(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            source = _source(resource_spans.resource, scope_spans.scope)
            for span in scope_spans.spans:
                body = span.SerializeToString()
                if reason := _why_rejected(span, len(body), max_span_bytes):
                    reasons.append(reason)
                else:
                    rows.append(_row(span, service, source, body))
    return Batch(tuple(rows), len(reasons), reasons[0] if reasons else "")


def service_name(resource: Resource) -> str:
    """The service.name of a resource, or Jaeger's stand-in for it."""
    for attribute in resource.attributes:
        if attribute.key == "service.name" and attribute.value.string_value:
            return attribute.value.string_value
    return NO_SERVICE_NAME


def _source(resource: Resource, scope: InstrumentationScope) -> bytes:
    return ResourceSpans(resource=resource, scope_spans=[ScopeSpans(scope=scope)]).SerializeToString(deterministic=True)


def _why_rejected(span: Span, size_bytes: int, max_span_bytes: int) -> str:
    if len(span.trace_id) != _TRACE_ID_BYTES or not any(span.trace_id):
        return f"trace id must be {_TRACE_ID_BYTES} bytes, not all zero"
    if len(span.span_id) != _SPAN_ID_BYTES or not any(span.span_id):
        return f"span id must be {_SPAN_ID_BYTES} bytes, not all zero"
    if span.parent_span_id and len(span.parent_span_id) != _SPAN_ID_BYTES:
        return f"parent span id must be empty or {_SPAN_ID_BYTES} bytes"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) > _MAX_TIME_NS:
        return "start and end time must be nanoseconds since 1970 that fit in 63 bits"
    if size_bytes > max_span_bytes:
        return f"a span may have at most {max_span_bytes} bytes, this one has {size_bytes}"
    return ""


def _row(span: Span, service: str, source: bytes, body: bytes) -> SpanRow:
    return SpanRow(
        trace_id=span.trace_id,
        span_id=span.span_id,
        # Some exporters send zeros for "no parent".
        parent_id=span.parent_span_id if any(span.parent_span_id) else b"",
        service=service,
        operation=span.name,
        start_us=span.start_time_unix_nano // 1000,
        duration_us=duration_us(span),
        error=span.status.code == Status.STATUS_CODE_ERROR,
        source=source,
        body=body,
    )


def duration_us(span: Span) -> int:
    """A span's duration in µs; 0 when its end is missing or before its start (a clock that was set back)."""
    return max(0, span.end_time_unix_nano - span.start_time_unix_nano) // 1000
