"""OTLP spans as Jaeger's query API shows them: tags with types, span.kind, otel.status_code, references, processes.

Follows the OTLP to Jaeger mapping at https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lepton_ai.traces.spans import duration_us
from lepton_ai.traces.stored import Source, StoredSpan

Json = dict[str, Any]

_MAX_SAFE_INTEGER = 2**53 - 1
"""The largest whole number that JavaScript reads without rounding; beyond it numbers travel as strings."""

_KINDS = {
    Span.SPAN_KIND_INTERNAL: "internal",
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
}


def jaeger_trace(spans: Sequence[StoredSpan]) -> Json:
    """One trace in Jaeger's JSON; `spans` all have the same trace id and are not empty."""
    processes = _Processes()
    converted = [_span(stored.message, stored.source.scope, processes.key(stored.source)) for stored in spans]
    return {
        "traceID": converted[0]["traceID"],
        "spans": converted,
        "processes": processes.by_key,
        "warnings": None,
    }


def span_kind(span: Span) -> str:
    """server, client, producer, consumer or internal; empty when the span does not say."""
    return _KINDS.get(span.kind, "")


class _Processes:
    """Numbers the distinct resources of a trace: p1, p2, …"""

    def __init__(self) -> None:
        self.by_key: dict[str, Json] = {}
        self._keys: dict[bytes, str] = {}

    def key(self, source: Source) -> str:
        identity = source.resource.SerializeToString(deterministic=True)
        key = self._keys.get(identity)
        if key is None:
            key = self._keys[identity] = f"p{len(self._keys) + 1}"
            tags = [pair for pair in source.resource.attributes if pair.key != "service.name"]
            self.by_key[key] = {"serviceName": source.service, "tags": _tags(tags)}
        return key


def _span(span: Span, scope: InstrumentationScope, process_key: str) -> Json:
    return {
        "traceID": span.trace_id.hex(),
        "spanID": span.span_id.hex(),
        "operationName": span.name,
        "references": _references(span),
        "startTime": span.start_time_unix_nano // 1000,
        "duration": duration_us(span.start_time_unix_nano, span.end_time_unix_nano),
        "tags": [*_scope_tags(scope), *_tags(span.attributes), *_derived_tags(span)],
        "logs": [_log(event) for event in span.events],
        "processID": process_key,
        "warnings": _warnings(span),
    }


def _references(span: Span) -> list[Json]:
    references = []
    if any(span.parent_span_id):
        references.append(_reference("CHILD_OF", span.trace_id, span.parent_span_id))
    references.extend(_reference("FOLLOWS_FROM", link.trace_id, link.span_id) for link in span.links)
    return references


def _reference(kind: str, trace_id: bytes, span_id: bytes) -> Json:
    return {"refType": kind, "traceID": trace_id.hex(), "spanID": span_id.hex()}


def _log(event: Span.Event) -> Json:
    fields = [_tag("event", "string", event.name)] if event.name else []
    return {"timestamp": event.time_unix_nano // 1000, "fields": fields + _tags(event.attributes)}


def _scope_tags(scope: InstrumentationScope) -> list[Json]:
    pairs = (("otel.scope.name", scope.name), ("otel.scope.version", scope.version))
    return [_tag(key, "string", value) for key, value in pairs if value]


def _derived_tags(span: Span) -> list[Json]:
    """What OTLP has as fields and Jaeger as tags."""
    tags = []
    if kind := span_kind(span):
        tags.append(_tag("span.kind", "string", kind))
    if span.status.code == Status.STATUS_CODE_OK:
        tags.append(_tag("otel.status_code", "string", "OK"))
    if span.status.code == Status.STATUS_CODE_ERROR:
        tags += [_tag("otel.status_code", "string", "ERROR"), _tag("error", "bool", True)]
    if span.status.message:
        tags.append(_tag("otel.status_description", "string", span.status.message))
    if span.trace_state:
        tags.append(_tag("w3c.tracestate", "string", span.trace_state))
    return tags


def _warnings(span: Span) -> list[str] | None:
    if span.end_time_unix_nano < span.start_time_unix_nano:
        return ["The span ends before it starts; its duration is shown as 0."]
    return None


def _tags(attributes: Iterable[KeyValue]) -> list[Json]:
    return [_typed_tag(pair.key, pair.value) for pair in attributes]


def _typed_tag(key: str, value: AnyValue) -> Json:
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return _tag(key, "bool", value.bool_value)
    if kind == "int_value":
        return _tag(key, "int64", _plain(value))
    if kind == "double_value":
        return _tag(key, "float64", _plain(value))
    if kind == "bytes_value":
        return _tag(key, "binary", _plain(value))
    if kind in ("array_value", "kvlist_value"):
        return _tag(key, "string", json.dumps(_plain(value), ensure_ascii=False))
    return _tag(key, "string", value.string_value)


def _plain(value: AnyValue) -> Any:
    """A value as JSON has it; numbers that JSON or JavaScript cannot hold become strings."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "int_value":
        return value.int_value if abs(value.int_value) <= _MAX_SAFE_INTEGER else str(value.int_value)
    if kind == "double_value":
        return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
    return getattr(value, kind) if kind else None


def _tag(key: str, kind: str, value: Any) -> Json:
    return {"key": key, "type": kind, "value": value}
