"""An export as it is kept: the bytes that came, and just enough noted about them to find them again.

Taking spans must cost next to nothing, as it shares the processors with what is being traced. So an export is checked
and then kept as it is; what is inside is read when somebody asks (see `stored.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lepton_ai.errors import InvalidInput
from lepton_ai.traces import plain_json
from lepton_ai.traces.otlp_json import PADDING, parse_json
from lepton_ai.traces.plain_json import Groups
from lepton_ai.traces.spans import duration_us, service_name, why_rejected


class Encoding(IntEnum):
    """How the body of a kept export is written; the numbers are in the database."""

    PROTOBUF = 0
    PLAIN_JSON = 1
    """OTLP JSON in the form that `plain_json` knows; JSON in any other form is turned into protobuf."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What an export has of one service: enough to know that a search need not look into it."""

    service: str
    operations: frozenset[str]
    earliest_us: int
    latest_us: int
    """Of the start times."""
    shortest_us: int
    longest_us: int


@dataclass(frozen=True, slots=True)
class Export:
    """The spans that were taken of one request, and how many were refused and why (the first reason)."""

    encoding: Encoding
    body: bytes
    traces: Mapping[bytes, int]
    """Trace ids, each with its number of spans."""
    extents: Sequence[Extent]
    rejected: int = 0
    reason: str = ""

    @property
    def spans(self) -> int:
        return sum(self.traces.values())


def accept_protobuf(body: bytes, *, max_span_bytes: int) -> Export:
    """An export in protobuf; spans that break a rule are left out and counted, the others are not held back.

    Raises InvalidInput for what is no ExportTraceServiceRequest.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise InvalidInput("The body is not an OTLP ExportTraceServiceRequest in protobuf.") from error
    # No span of a small request is too large; measuring each one would cost as much as all the rest.
    limit = max_span_bytes if len(body) > max_span_bytes else None
    return _select(request, partial(why_rejected, max_span_bytes=limit), body)


def accept_json(body: bytes, *, max_span_bytes: int) -> Export:
    """An export in JSON, as `accept_protobuf`; raises InvalidInput with the path of what is wrong."""
    body = body.strip(PADDING)
    groups = plain_json.survey(body, max_span_bytes=max_span_bytes)
    if groups is None:
        return _select(parse_json(body), partial(why_rejected, max_span_bytes=max_span_bytes), None)
    return Export(Encoding.PLAIN_JSON, body, *_noted(groups))


def without_excess(export: Export, room: Mapping[bytes, int]) -> Export:
    """An export with at most `room` spans of each trace that is named there; `rejected` counts only these."""
    left = dict(room)

    def why_excess(span: Span) -> str:
        number = left.get(span.trace_id)
        if number is None:
            return ""
        left[span.trace_id] = number - 1
        return "" if number > 0 else "the trace has too many spans"

    return _select(decode(export.encoding, export.body), why_excess, None)


def decode(encoding: int, body: bytes) -> ExportTraceServiceRequest:
    """The whole of a kept export."""
    return ExportTraceServiceRequest.FromString(body) if encoding == Encoding.PROTOBUF else parse_json(body)


def _select(request: ExportTraceServiceRequest, why_not: Callable[[Span], str], body: bytes | None) -> Export:
    """The spans of `request` that nothing speaks against; `body` is what it was read from, if that was protobuf."""
    reasons: list[str] = []
    groups: Groups = []
    for resource_spans in request.resource_spans:
        service = service_name(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            refused = [(at, reason) for at, span in enumerate(scope_spans.spans) if (reason := why_not(span))]
            for at, _ in reversed(refused):
                del scope_spans.spans[at]
            reasons.extend(reason for _, reason in refused)
            groups.append((service, [_row(span) for span in scope_spans.spans]))
    if reasons or body is None:
        body = request.SerializeToString()
    return Export(Encoding.PROTOBUF, body, *_noted(groups), len(reasons), reasons[0] if reasons else "")


def _row(span: Span) -> tuple[bytes, str, int, int]:
    return span.trace_id, span.name, span.start_time_unix_nano, span.end_time_unix_nano


def _noted(groups: Groups) -> tuple[Mapping[bytes, int], Sequence[Extent]]:
    traces: Counter[bytes] = Counter()
    by_service: dict[str, list[tuple[bytes, str, int, int]]] = {}
    for service, rows in groups:
        by_service.setdefault(service, []).extend(rows)
    extents = []
    for service, spans in by_service.items():
        if spans:
            ids, names, starts, ends = zip(*spans, strict=True)
            traces.update(ids)
            extents.append(_extent(service, names, starts, ends))
    return traces, extents


def _extent(service: str, names: Sequence[str], starts_ns: Sequence[int], ends_ns: Sequence[int]) -> Extent:
    durations = list(map(duration_us, starts_ns, ends_ns))
    return Extent(
        service=service,
        operations=frozenset(names),
        earliest_us=min(starts_ns) // 1000,
        latest_us=max(starts_ns) // 1000,
        shortest_us=min(durations),
        longest_us=max(durations),
    )
