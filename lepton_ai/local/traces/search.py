"""Questions to the store: services, operations, which traces match, and the newest traces in a few words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from lepton_ai.local.traces.jaeger import Json, jaeger_trace
from lepton_ai.local.traces.query import TraceQuery
from lepton_ai.local.traces.store import StoredSpan, TraceReader

_MAX_TAG_CANDIDATES = 20_000
"""Spans that a search by tags looks into; tags are not indexed, so a search without bound could take minutes."""

_MATCHING_TRACES = """
SELECT trace_id FROM spans
WHERE service = ? AND start_us BETWEEN ? AND ? AND duration_us BETWEEN ? AND ? AND (? = '' OR operation = ?)
GROUP BY trace_id ORDER BY max(start_us) DESC LIMIT ?
"""
_MATCHING_SPANS = """
SELECT trace_id, span_id FROM spans
WHERE service = ? AND start_us BETWEEN ? AND ? AND duration_us BETWEEN ? AND ? AND (? = '' OR operation = ?)
ORDER BY start_us DESC LIMIT ?
"""
_NEWEST = "SELECT trace_id FROM traces ORDER BY arrival DESC LIMIT ?"
_NEWEST_OF_SERVICE = """
SELECT trace_id FROM spans WHERE service = ? GROUP BY trace_id ORDER BY max(start_us) DESC LIMIT ?
"""
_OUTLINE = "SELECT span_id, parent_id, service, operation, start_us, duration_us, error FROM spans WHERE trace_id = ?"


@dataclass(frozen=True)
class TraceSummary:
    """One line of the list of traces."""

    trace_id: str
    service: str
    operation: str
    start_us: int
    duration_us: int
    spans: int
    errors: int
    services: tuple[str, ...]


@dataclass(frozen=True)
class _Outline:
    span_id: bytes
    parent_id: bytes
    service: str
    operation: str
    start_us: int
    duration_us: int
    error: int


def services(reader: TraceReader) -> list[str]:
    """The services that spans are stored of, sorted."""
    return [cast(str, name) for (name,) in reader.query("SELECT DISTINCT service FROM spans ORDER BY service")]


def operations(reader: TraceReader, service: str) -> list[str]:
    """The operations of a service, sorted; none for an unknown service."""
    rows = reader.query("SELECT DISTINCT operation FROM spans WHERE service = ? ORDER BY operation", (service,))
    return [cast(str, name) for (name,) in rows]


def find_trace(reader: TraceReader, trace_id: bytes) -> Json | None:
    """A trace in Jaeger's JSON, or None."""
    spans = reader.trace(trace_id)
    return jaeger_trace(spans) if spans else None


def find_traces(reader: TraceReader, query: TraceQuery) -> list[Json]:
    """The traces that a search is for, newest first; with ids, the ones of them that are here."""
    trace_ids = query.trace_ids or tuple(_matching(reader, query))
    found = (find_trace(reader, trace_id) for trace_id in dict.fromkeys(trace_ids))
    return [trace for trace in found if trace is not None]


def recent_traces(reader: TraceReader, *, service: str, limit: int) -> list[TraceSummary]:
    """The newest traces, of one service or (empty name) all, newest first."""
    sql, parameters = (_NEWEST_OF_SERVICE, (service, limit)) if service else (_NEWEST, (limit,))
    found = (_summary(reader, cast(bytes, trace_id)) for (trace_id,) in reader.query(sql, parameters))
    return sorted((line for line in found if line is not None), key=lambda line: -line.start_us)


def _matching(reader: TraceReader, query: TraceQuery) -> Iterator[bytes]:
    parameters = (
        query.service,
        query.start_us,
        query.end_us,
        query.min_duration_us,
        query.max_duration_us,
        query.operation,
        query.operation,
    )
    if not query.tags:
        yield from (cast(bytes, row[0]) for row in reader.query(_MATCHING_TRACES, (*parameters, query.limit)))
        return
    seen: set[bytes] = set()
    for trace_id, span_id in reader.query(_MATCHING_SPANS, (*parameters, _MAX_TAG_CANDIDATES)):
        trace_id = cast(bytes, trace_id)
        if trace_id not in seen and _has_tags(reader, trace_id, cast(bytes, span_id), query):
            seen.add(trace_id)
            yield trace_id
        if len(seen) >= query.limit:
            return


def _has_tags(reader: TraceReader, trace_id: bytes, span_id: bytes, query: TraceQuery) -> bool:
    """Whether a span has all tags, in its own tags, its process's or its logs' fields, as Jaeger's stores match."""
    rows = reader.query(
        "SELECT source, body FROM spans JOIN sources ON sources.id = source_id WHERE trace_id = ? AND span_id = ?",
        (trace_id, span_id),
    )
    if not rows:
        return False  # dropped since the candidates were listed
    source, body = rows[0]
    trace = jaeger_trace([StoredSpan(cast(bytes, source), cast(bytes, body))])
    span, process = trace["spans"][0], next(iter(trace["processes"].values()))
    fields = [*span["tags"], *process["tags"], *(field for log in span["logs"] for field in log["fields"])]
    present = {(tag["key"], _text(tag["value"])) for tag in fields}
    return present.issuperset(query.tags.items())


def _text(value: Any) -> str:
    """A tag's value as it is written in a search: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _summary(reader: TraceReader, trace_id: bytes) -> TraceSummary | None:
    spans = [_Outline(*cast(tuple[Any, ...], row)) for row in reader.query(_OUTLINE, (trace_id,))]
    if not spans:
        return None
    known = {span.span_id for span in spans}
    # A real root before one whose parent is missing; the earliest of them.
    first = min(spans, key=lambda span: (span.parent_id != b"", span.parent_id in known, span.start_us))
    start_us = min(span.start_us for span in spans)
    return TraceSummary(
        trace_id=trace_id.hex(),
        service=first.service,
        operation=first.operation,
        start_us=start_us,
        duration_us=max(span.start_us + span.duration_us for span in spans) - start_us,
        spans=len(spans),
        errors=sum(span.error for span in spans),
        services=tuple(sorted({span.service for span in spans})),
    )
