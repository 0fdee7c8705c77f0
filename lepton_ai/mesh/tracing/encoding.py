"""Recorded spans as OTLP messages, built straight from their fields.

The protobuf runtime fills nested messages from dictionaries much faster than from messages made one by one.
https://opentelemetry.io/docs/specs/otlp/, https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AnyValue

from lepton_ai.mesh.tracing.spans import RecordedSpan, SpanEvent, SpanLink
from lepton_ai.mesh.tracing.values import bounded_text

logger = logging.getLogger(__name__)

SCOPE = "lepton"

_KINDS: dict[SpanKind, int] = {
    SpanKind.INTERNAL: Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: Span.SPAN_KIND_SERVER,
    SpanKind.CLIENT: Span.SPAN_KIND_CLIENT,
    SpanKind.PRODUCER: Span.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: Span.SPAN_KIND_CONSUMER,
}
_LOCAL: int = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: int = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_FIELDS: dict[type, str] = {
    str: "string_value",
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    bytes: "bytes_value",
}


def encode(resource: Mapping[str, AnyValue], spans: Sequence[RecordedSpan]) -> ExportTraceServiceRequest:
    """The request that exports `spans` of the process that `resource` describes.

    A span that does not fit into the message, such as one with a time before 1970, is left out with a log line.
    """
    request = ExportTraceServiceRequest()
    process = request.resource_spans.add(resource={"attributes": _attributes(resource)})
    target = process.scope_spans.add(scope={"name": SCOPE}).spans
    for span in spans:
        count = len(target)
        try:
            target.add(**_span(span))
        except (TypeError, ValueError) as error:
            del target[count:]
            logger.error("a span cannot be sent: %s", type(error).__name__, extra={"span": span.name})
    return request


def _span(span: RecordedSpan) -> dict[str, Any]:
    identity, parent = span.context, span.parent
    fields: dict[str, Any] = {
        "trace_id": identity.trace_id.to_bytes(16, "big"),
        "span_id": identity.span_id.to_bytes(8, "big"),
        "name": bounded_text(span.name),
        "kind": _KINDS[span.kind],
        "start_time_unix_nano": span.start_ns,
        "end_time_unix_nano": span.end_ns,
        "attributes": _attributes(span.attributes),
        "flags": _LOCAL if parent is None else _flags(parent),
    }
    if parent is not None:
        fields["parent_span_id"] = parent.span_id.to_bytes(8, "big")
    if identity.trace_state:
        fields["trace_state"] = identity.trace_state.to_header()
    if span.status.status_code is not StatusCode.UNSET:
        description = bounded_text(span.status.description or "")
        fields["status"] = {"code": span.status.status_code.value, "message": description}
    if span.events or span.links or span.dropped_attributes:
        fields |= _rare_fields(span)
    return fields


def _rare_fields(span: RecordedSpan) -> dict[str, Any]:
    """Fields that few spans have. Most spans leave them out, because filling in even an empty field takes time."""
    return {
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "dropped_attributes_count": span.dropped_attributes,
        "dropped_events_count": span.dropped_events,
        "dropped_links_count": span.dropped_links,
    }


def _event(event: SpanEvent) -> dict[str, Any]:
    return {
        "name": bounded_text(event.name),
        "time_unix_nano": event.time_ns,
        "attributes": _attributes(event.attributes),
        "dropped_attributes_count": event.dropped_attributes,
    }


def _link(link: SpanLink) -> dict[str, Any]:
    return {
        "trace_id": link.context.trace_id.to_bytes(16, "big"),
        "span_id": link.context.span_id.to_bytes(8, "big"),
        "trace_state": link.context.trace_state.to_header(),
        "attributes": _attributes(link.attributes),
        "dropped_attributes_count": link.dropped_attributes,
        "flags": _flags(link.context),
    }


def _flags(context: SpanContext) -> int:
    return _REMOTE if context.is_remote else _LOCAL


def _attributes(attributes: Mapping[str, AnyValue]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: AnyValue) -> dict[str, Any]:
    """A value as OTLP. `values.bounded_value` has made it, so it has no other types than these."""
    field = _FIELDS.get(type(value))
    if field is not None:
        return {field: value}
    if isinstance(value, tuple):
        return {"array_value": {"values": [_value(each) for each in value]}}
    if isinstance(value, dict):
        return {"kvlist_value": {"values": _attributes(value)}}
    return {}
