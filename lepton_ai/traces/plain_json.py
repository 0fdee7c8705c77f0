"""The form of OTLP JSON that needs no conversion to be understood: what Triton's C++ exporter writes.

Ids are lower-case hex, times are strings, kinds are numbers, and there are no fields but the usual ones. Whatever else
OTLP allows (or does not) makes an export one that `otlp_json` has to read; everything plain can be read by it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # comes with pydantic, which wants this one before Python 3.12

from lepton_ai.traces.spans import NO_SERVICE_NAME

# No pattern goes as far as 2**63, so that no number has to be compared.
_Time = Annotated[str, Field(pattern=r"^[1-8]?[0-9]{1,18}$")]
_Integer = Annotated[str, Field(pattern=r"^-?[0-9]{1,18}$")]
_Real = Annotated[float, Field(allow_inf_nan=False)]
_TraceId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
_SpanId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_ParentId = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{16})?$")]
_Kind = Annotated[int, Field(ge=0, le=5)]
_StatusCode = Annotated[int, Field(ge=0, le=2)]

_PLAIN = ConfigDict(extra="forbid", strict=True)
Rows = Sequence[tuple[bytes, str, int, int]]
"""Of each span: trace id, name, start and end in ns."""
Groups = list[tuple[str, Rows]]
"""Services, each with spans of it; a service may come several times."""

_NO_TRACE_ID = "0" * 32
_NO_SPAN_ID = "0" * 16


class _Value(TypedDict, total=False):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    stringValue: str
    boolValue: bool
    intValue: _Integer
    doubleValue: _Real


class _Attribute(TypedDict):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    key: str
    value: _Value


class _Event(TypedDict):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    name: str
    timeUnixNano: _Time
    attributes: NotRequired[list[_Attribute]]


class _Status(TypedDict, total=False):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    code: _StatusCode
    message: str


class _Span(TypedDict):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    traceId: _TraceId
    spanId: _SpanId
    parentSpanId: NotRequired[_ParentId]
    name: str
    kind: NotRequired[_Kind]
    startTimeUnixNano: _Time
    endTimeUnixNano: _Time
    attributes: NotRequired[list[_Attribute]]
    events: NotRequired[list[_Event]]
    status: NotRequired[_Status]


class _Scope(TypedDict, total=False):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    name: str
    version: str


class _ScopeSpans(TypedDict):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    scope: NotRequired[_Scope]
    spans: list[_Span]


class _Resource(TypedDict, total=False):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    attributes: list[_Attribute]


class _ResourceSpans(TypedDict):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    resource: NotRequired[_Resource]
    scopeSpans: list[_ScopeSpans]


class _Export(TypedDict):
    __pydantic_config__ = _PLAIN  # type: ignore[misc]
    resourceSpans: list[_ResourceSpans]


_ADAPTER = TypeAdapter(_Export)


def survey(body: bytes, *, max_span_bytes: int) -> Groups | None:
    """Service by service the trace id, name, start and end (ns) of each span; None when the export is not plain.

    None, too, when a span breaks a rule, or might be too large.
    """
    try:
        export = _ADAPTER.validate_json(body)
    except ValidationError:
        return None
    check_size = len(body) > max_span_bytes
    groups: Groups = []
    for resource_spans in export["resourceSpans"]:
        service = service_of(resource_spans)
        for scope_spans in resource_spans["scopeSpans"]:
            spans = scope_spans["spans"]
            if any(_is_odd(span) for span in spans):
                return None
            # As protobuf a span is never larger than its text is in the widest of UTF-8.
            if check_size and any(4 * len(str(span)) > max_span_bytes for span in spans):
                return None
            groups.append((service, [_row(span) for span in spans]))
    return groups


def service_of(resource_spans: Mapping[str, Any]) -> str:
    """The service.name of plain ResourceSpans, or Jaeger's stand-in for it."""
    for attribute in resource_spans.get("resource", {}).get("attributes", ()):
        if attribute["key"] == "service.name" and attribute["value"].get("stringValue"):
            return str(attribute["value"]["stringValue"])
    return NO_SERVICE_NAME


def _is_odd(span: _Span) -> bool:
    return span["traceId"] == _NO_TRACE_ID or span["spanId"] == _NO_SPAN_ID


def _row(span: _Span) -> tuple[bytes, str, int, int]:
    return bytes.fromhex(span["traceId"]), span["name"], int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
