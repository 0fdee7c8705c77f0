"""OTLP's JSON dialect: ids are hex, numbers may be strings, enums numbers or names, unknown fields are ignored.

Protobuf's own JSON parser cannot be used: it takes bytes for base64. The specification is at
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding; Triton's C++ exporter was the first to be tested with.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from lepton_ai.errors import InvalidInput

_MAX_DEPTH = 32
PADDING = b" \t\r\n\0"
"""What may stand around a document; some exporters send the terminating NUL of their C string along."""


def parse_json(body: bytes) -> ExportTraceServiceRequest:
    """Read an export request in JSON; raises InvalidInput with the path of what is wrong."""
    try:
        document = json.loads(body.strip(PADDING))
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is not JSON.", fix="Send OTLP JSON, or protobuf with its content type.") from error
    root = _object(document, "body")
    return ExportTraceServiceRequest(
        resource_spans=[_resource_spans(item, path) for item, path in _items(root, "resourceSpans", "")]
    )


def resource_message(value: Any, path: str = "resource") -> Resource:
    """One resource; raises InvalidInput with the path of what is wrong."""
    return Resource(attributes=_attributes(_object(value, path), path))


def scope_message(value: Any, path: str = "scope") -> InstrumentationScope:
    """One instrumentation scope; raises InvalidInput with the path of what is wrong."""
    fields = _object(value, path)
    return InstrumentationScope(
        name=_text(fields, "name", path),
        version=_text(fields, "version", path),
        attributes=_attributes(fields, path),
    )


def _resource_spans(value: Any, path: str) -> ResourceSpans:
    fields = _object(value, path)
    # "instrumentationLibrarySpans" was the name until 2022; nothing that sends it is worth supporting.
    return ResourceSpans(
        resource=resource_message(fields.get("resource") or {}, f"{path}.resource"),
        scope_spans=[_scope_spans(item, at) for item, at in _items(fields, "scopeSpans", path)],
    )


def _scope_spans(value: Any, path: str) -> ScopeSpans:
    fields = _object(value, path)
    return ScopeSpans(
        scope=scope_message(fields.get("scope") or {}, f"{path}.scope"),
        spans=[span_message(item, at) for item, at in _items(fields, "spans", path)],
    )


def span_message(value: Any, path: str = "span") -> Span:
    """One span; raises InvalidInput with the path of what is wrong."""
    fields = _object(value, path)
    return Span(
        trace_id=_hex(fields, "traceId", path),
        span_id=_hex(fields, "spanId", path),
        parent_span_id=_hex(fields, "parentSpanId", path),
        trace_state=_text(fields, "traceState", path),
        name=_text(fields, "name", path),
        kind=_enum(fields, "kind", path, Span.SpanKind.items()),
        start_time_unix_nano=_unsigned(fields, "startTimeUnixNano", path),
        end_time_unix_nano=_unsigned(fields, "endTimeUnixNano", path),
        attributes=_attributes(fields, path),
        events=[_event(item, at) for item, at in _items(fields, "events", path)],
        links=[_link(item, at) for item, at in _items(fields, "links", path)],
        status=_status(fields, path),
    )


def _event(value: Any, path: str) -> Span.Event:
    fields = _object(value, path)
    return Span.Event(
        name=_text(fields, "name", path),
        time_unix_nano=_unsigned(fields, "timeUnixNano", path),
        attributes=_attributes(fields, path),
    )


def _link(value: Any, path: str) -> Span.Link:
    fields = _object(value, path)
    return Span.Link(
        trace_id=_hex(fields, "traceId", path),
        span_id=_hex(fields, "spanId", path),
        trace_state=_text(fields, "traceState", path),
        attributes=_attributes(fields, path),
    )


def _status(fields: Mapping[str, Any], path: str) -> Status:
    status = _object(fields.get("status") or {}, f"{path}.status")
    return Status(
        code=_enum(status, "code", f"{path}.status", Status.StatusCode.items()),
        message=_text(status, "message", f"{path}.status"),
    )


def _attributes(fields: Mapping[str, Any], path: str, *, name: str = "attributes", depth: int = 0) -> list[KeyValue]:
    attributes = []
    for item, at in _items(fields, name, path):
        pair = _object(item, at)
        attributes.append(KeyValue(key=_text(pair, "key", at), value=_any_value(pair.get("value"), at, depth)))
    return attributes


def _any_value(value: Any, path: str, depth: int) -> AnyValue:
    if depth > _MAX_DEPTH:
        raise InvalidInput.of_field(path, f"values are nested deeper than {_MAX_DEPTH}")
    fields = _object(value if value is not None else {}, f"{path}.value")
    for name, read in _VALUES.items():
        if fields.get(name) is not None:
            return read(fields, f"{path}.value", depth)
    return AnyValue()


def _string_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    return AnyValue(string_value=_text(fields, "stringValue", path))


def _bool_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    value = fields["boolValue"]
    if not isinstance(value, bool):
        raise InvalidInput.of_field(f"{path}.boolValue", "must be true or false")
    return AnyValue(bool_value=value)


def _int_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    return AnyValue(int_value=_integer(fields, "intValue", path, -(2**63), 2**63 - 1))


def _double_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    value = fields["doubleValue"]
    try:
        # A string is how NaN and Infinity travel.
        return AnyValue(double_value=float(value if isinstance(value, int | float | str) else "no number"))
    except (ValueError, OverflowError) as error:
        raise InvalidInput.of_field(f"{path}.doubleValue", "must be a number") from error


def _bytes_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    try:
        return AnyValue(bytes_value=base64.b64decode(_text(fields, "bytesValue", path), validate=True))
    except ValueError as error:
        raise InvalidInput.of_field(f"{path}.bytesValue", "must be base64") from error


def _array_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    array = _object(fields["arrayValue"], f"{path}.arrayValue")
    result = AnyValue()
    result.array_value.SetInParent()
    for item, at in _items(array, "values", f"{path}.arrayValue"):
        result.array_value.values.append(_any_value(item, at, depth + 1))
    return result


def _kvlist_value(fields: Mapping[str, Any], path: str, depth: int) -> AnyValue:
    pairs = _object(fields["kvlistValue"], f"{path}.kvlistValue")
    result = AnyValue()
    result.kvlist_value.SetInParent()
    result.kvlist_value.values.extend(_attributes(pairs, f"{path}.kvlistValue", name="values", depth=depth + 1))
    return result


_VALUES: Mapping[str, Callable[[Mapping[str, Any], str, int], AnyValue]] = {
    "stringValue": _string_value,
    "boolValue": _bool_value,
    "intValue": _int_value,
    "doubleValue": _double_value,
    "arrayValue": _array_value,
    "kvlistValue": _kvlist_value,
    "bytesValue": _bytes_value,
}


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput.of_field(path, "must be an object")
    return value


def _items(fields: Mapping[str, Any], name: str, path: str) -> Iterator[tuple[Any, str]]:
    """The members of an array field with their paths; an absent or null field has none."""
    value = fields.get(name)
    where = f"{path}.{name}" if path else name
    if value is None:
        return
    if not isinstance(value, list):
        raise InvalidInput.of_field(where, "must be an array")
    for index, item in enumerate(value):
        yield item, f"{where}[{index}]"


def _text(fields: Mapping[str, Any], name: str, path: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput.of_field(f"{path}.{name}", "must be a string")
    if not value.isascii():
        # JSON can spell half a surrogate pair, which no protobuf string can hold.
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value


def _hex(fields: Mapping[str, Any], name: str, path: str) -> bytes:
    try:
        return binascii.unhexlify(_text(fields, name, path))
    except ValueError as error:
        raise InvalidInput.of_field(f"{path}.{name}", "must be hexadecimal digits") from error


def _unsigned(fields: Mapping[str, Any], name: str, path: str) -> int:
    return _integer(fields, name, path, 0, 2**64 - 1)


def _integer(fields: Mapping[str, Any], name: str, path: str, low: int, high: int) -> int:
    value = fields.get(name)
    if value is None or value == "":
        return 0
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError(name)
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput.of_field(f"{path}.{name}", "must be a whole number, or a string with one") from error
    if not low <= number <= high:
        raise InvalidInput.of_field(f"{path}.{name}", f"must be between {low} and {high}")
    return number


def _enum(fields: Mapping[str, Any], name: str, path: str, members: Sequence[tuple[str, int]]) -> Any:
    value = fields.get(name)
    by_name = dict(members)
    if isinstance(value, str) and value in by_name:
        return by_name[value]
    number = _integer(fields, name, path, 0, 2**31 - 1)
    # A kind that is newer than this code is kept as "unspecified": the span is worth more than its kind.
    return number if number in by_name.values() else 0
