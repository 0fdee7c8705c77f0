"""The spans of a kept export, read one by one and no further than somebody asks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lepton_ai.traces.exports import Encoding
from lepton_ai.traces.otlp_json import resource_message, scope_message, span_message
from lepton_ai.traces.plain_json import service_of
from lepton_ai.traces.spans import NO_SPAN_ID, service_name


class Source(Protocol):
    """What the spans of one instrumentation scope of one process have in common."""

    @property
    def service(self) -> str: ...
    @property
    def resource(self) -> Resource: ...
    @property
    def scope(self) -> InstrumentationScope: ...


class StoredSpan(Protocol):
    """A span as it was received; every property is worked out when it is asked for."""

    @property
    def source(self) -> Source: ...
    @property
    def trace_id(self) -> bytes: ...
    @property
    def span_id(self) -> bytes: ...
    @property
    def parent_id(self) -> bytes:
        """Empty for a root; some exporters send zeros for "no parent"."""

    @property
    def operation(self) -> str: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def error(self) -> bool: ...
    def attribute(self, name: str) -> str:
        """An attribute as text; empty when the span has none of that name."""

    @property
    def message(self) -> Span:
        """All of it."""


def stored_spans(encoding: int, body: bytes) -> Iterator[StoredSpan]:
    """The spans of an export that was kept."""
    if encoding == Encoding.PLAIN_JSON:
        return _json_spans(json.loads(body))
    return _protobuf_spans(ExportTraceServiceRequest.FromString(body))


def _protobuf_spans(request: ExportTraceServiceRequest) -> Iterator[StoredSpan]:
    for resource_spans in request.resource_spans:
        resource, service = resource_spans.resource, service_name(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            source = _ProtobufSource(service, resource, scope_spans.scope)
            for span in scope_spans.spans:
                yield _ProtobufSpan(source, span)


def _json_spans(document: Mapping[str, Any]) -> Iterator[StoredSpan]:
    for resource_spans in document["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            source = _JsonSource(resource_spans, scope_spans)
            for span in scope_spans["spans"]:
                yield _JsonSpan(source, span)


class _ProtobufSource:
    def __init__(self, service: str, resource: Resource, scope: InstrumentationScope) -> None:
        self.service = service
        self.resource = resource
        self.scope = scope


class _ProtobufSpan:
    __slots__ = ("message", "source")

    def __init__(self, source: Source, message: Span) -> None:
        self.source = source
        self.message = message

    @property
    def trace_id(self) -> bytes:
        return self.message.trace_id

    @property
    def span_id(self) -> bytes:
        return self.message.span_id

    @property
    def parent_id(self) -> bytes:
        parent_id = self.message.parent_span_id
        return b"" if parent_id == NO_SPAN_ID else parent_id

    @property
    def operation(self) -> str:
        return self.message.name

    @property
    def start_ns(self) -> int:
        return self.message.start_time_unix_nano

    @property
    def end_ns(self) -> int:
        return self.message.end_time_unix_nano

    @property
    def error(self) -> bool:
        return self.message.status.code == Status.STATUS_CODE_ERROR

    def attribute(self, name: str) -> str:
        value = next((pair.value for pair in self.message.attributes if pair.key == name), None)
        kind = None if value is None else value.WhichOneof("value")
        return "" if kind is None else str(getattr(value, kind))


class _JsonSource:
    def __init__(self, resource_spans: Mapping[str, Any], scope_spans: Mapping[str, Any]) -> None:
        self.service = service_of(resource_spans)
        self._resource = resource_spans.get("resource", {})
        self._scope = scope_spans.get("scope", {})

    @cached_property
    def resource(self) -> Resource:
        return resource_message(self._resource)

    @cached_property
    def scope(self) -> InstrumentationScope:
        return scope_message(self._scope)


class _JsonSpan:
    __slots__ = ("_fields", "source")

    def __init__(self, source: Source, fields: Mapping[str, Any]) -> None:
        self.source = source
        self._fields = fields

    @property
    def trace_id(self) -> bytes:
        return bytes.fromhex(self._fields["traceId"])

    @property
    def span_id(self) -> bytes:
        return bytes.fromhex(self._fields["spanId"])

    @property
    def parent_id(self) -> bytes:
        parent_id = bytes.fromhex(self._fields.get("parentSpanId", ""))
        return b"" if parent_id == NO_SPAN_ID else parent_id

    @property
    def operation(self) -> str:
        return str(self._fields["name"])

    @property
    def start_ns(self) -> int:
        return int(self._fields["startTimeUnixNano"])

    @property
    def end_ns(self) -> int:
        return int(self._fields["endTimeUnixNano"])

    @property
    def error(self) -> bool:
        return bool(self._fields.get("status", {}).get("code") == Status.STATUS_CODE_ERROR)

    def attribute(self, name: str) -> str:
        pairs = self._fields.get("attributes", ())
        value: Mapping[str, Any] = next((pair["value"] for pair in pairs if pair["key"] == name), {})
        return str(next(iter(value.values()), ""))

    @property
    def message(self) -> Span:
        return span_message(self._fields)
