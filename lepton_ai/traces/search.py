"""Questions to the store: services, operations, which traces match, and the newest traces in a few words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, cast

from lepton_ai.traces.jaeger import Json, jaeger_trace, span_kind
from lepton_ai.traces.query import TraceQuery
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.spans import duration_us, was_left
from lepton_ai.traces.stored import StoredSpan

_MAX_TAG_CANDIDATES = 20_000
"""Spans that a search by tags looks into; tags are not indexed, so a search without bound could take minutes."""
_TRACES_AT_ONCE = 100
"""Traces that are held in memory while an answer is made."""

_EXTENTS = """
SELECT export_id, latest_us, operations FROM extents
WHERE service = ? AND latest_us >= ? AND earliest_us <= ? AND longest_us >= ? AND shortest_us <= ?
ORDER BY latest_us DESC
"""


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
    models: tuple[str, ...]
    """As NAME@VERSION, those that the request was about."""
    left: bool
    """Whether it ended because its caller went: how long it took then says nothing of the platform."""


def services(reader: TraceReader) -> list[str]:
    """The services that spans are stored of, sorted."""
    return [cast(str, name) for (name,) in reader.query("SELECT DISTINCT service FROM extents ORDER BY service")]


def operations(reader: TraceReader, service: str) -> list[str]:
    """The operations of a service, sorted; none for an unknown service."""
    rows = reader.query("SELECT DISTINCT operations FROM extents WHERE service = ?", (service,))
    return sorted({name for (names,) in rows for name in json.loads(cast(str, names))})


def operations_by_kind(reader: TraceReader, service: str, *, kind: str = "") -> list[Json]:
    """The operations of a service with the kinds of their spans as Jaeger lists them, of one kind or all, sorted."""
    found: set[tuple[str, str]] = set()
    for (export_id,) in reader.query("SELECT export_id FROM extents WHERE service = ?", (service,)):
        spans = reader.export(cast(int, export_id)) or ()
        found |= {(span.operation, span_kind(span.message)) for span in spans if span.source.service == service}
    return [{"name": name, "spanKind": its_kind} for name, its_kind in sorted(found) if kind in ("", its_kind)]


def find_trace(reader: TraceReader, trace_id: bytes) -> Json | None:
    """A trace in Jaeger's JSON, or None."""
    spans = reader.trace(trace_id)
    return jaeger_trace(spans) if spans else None


def find_traces(reader: TraceReader, query: TraceQuery) -> list[Json]:
    """The traces that a search is for, newest first; with ids, the ones of them that are here."""
    trace_ids = query.trace_ids or _matching(reader, query)
    return [jaeger_trace(spans) for spans in _read(reader, trace_ids)]


def recent_traces(reader: TraceReader, *, service: str, limit: int) -> list[TraceSummary]:
    """The newest traces, of one service or (empty name) all, newest first."""
    newest = _matching(reader, TraceQuery(service, limit=limit)) if service else reader.directory.newest(limit)
    return sorted((_summary(spans) for spans in _read(reader, newest)), key=lambda line: -line.start_us)


def _read(reader: TraceReader, trace_ids: Sequence[bytes]) -> Iterator[list[StoredSpan]]:
    """Each of these traces once and in this order, but for those that are not here."""
    distinct = list(dict.fromkeys(trace_ids))
    for start in range(0, len(distinct), _TRACES_AT_ONCE):
        chunk = distinct[start : start + _TRACES_AT_ONCE]
        found = reader.traces(chunk)
        yield from (found[trace_id] for trace_id in chunk if trace_id in found)


def _matching(reader: TraceReader, query: TraceQuery) -> list[bytes]:
    """Ids of matching traces, those with the latest matching span first.

    Looks through the exports from the one with the latest start on, until no further one can change the answer.
    """
    latest: dict[bytes, int] = {}
    looked_into = 0
    times = (query.start_us, query.end_us, query.min_duration_us, query.max_duration_us)
    for row in reader.query(_EXTENTS, (query.service, *times)):
        export_id, bound_us, names = cast(tuple[int, int, str], row)
        if _is_settled(latest, query.limit, bound_us) or looked_into >= _MAX_TAG_CANDIDATES:
            break
        if query.operation and query.operation not in json.loads(names):
            continue
        for span in _candidates(reader, export_id, query):
            start_us = span.start_ns // 1000
            if latest.get(span.trace_id, -1) >= start_us:
                continue
            looked_into += bool(query.tags)
            if not query.tags or _has_tags(span, query):
                latest[span.trace_id] = start_us
    return sorted(latest, key=lambda trace_id: -latest[trace_id])[: query.limit]


def _is_settled(latest: Mapping[bytes, int], limit: int, bound_us: int) -> bool:
    """Whether spans that start at `bound_us` or before cannot change which are the `limit` latest."""
    return len(latest) >= limit and bound_us <= nlargest(limit, latest.values())[-1]


def _candidates(reader: TraceReader, export_id: int, query: TraceQuery) -> Iterator[StoredSpan]:
    """The spans of an export that meet all of the search but its tags."""
    for span in reader.export(export_id) or ():
        if (
            span.source.service == query.service
            and (not query.operation or span.operation == query.operation)
            and query.start_us <= span.start_ns // 1000 <= query.end_us
            and query.min_duration_us <= duration_us(span.start_ns, span.end_ns) <= query.max_duration_us
            and reader.directory.has(span.trace_id, export_id)
        ):
            yield span


def _has_tags(span: StoredSpan, query: TraceQuery) -> bool:
    """Whether a span has all tags, in its own tags, its process's or its logs' fields, as Jaeger's stores match."""
    trace = jaeger_trace([span])
    shown, process = trace["spans"][0], next(iter(trace["processes"].values()))
    fields = [*shown["tags"], *process["tags"], *(field for log in shown["logs"] for field in log["fields"])]
    present = {(tag["key"], _text(tag["value"])) for tag in fields}
    return present.issuperset(query.tags.items())


def _text(value: Any) -> str:
    """A tag's value as it is written in a search: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _summary(spans: Sequence[StoredSpan]) -> TraceSummary:
    known = {span.span_id for span in spans}
    # A real root before one whose parent is missing; the earliest of them.
    first = min(spans, key=lambda span: (span.parent_id != b"", span.parent_id in known, span.start_ns))
    start_us = min(span.start_ns for span in spans) // 1000
    ends_us = (span.start_ns // 1000 + duration_us(span.start_ns, span.end_ns) for span in spans)
    return TraceSummary(
        trace_id=first.trace_id.hex(),
        service=first.source.service,
        operation=first.operation,
        start_us=start_us,
        duration_us=max(ends_us) - start_us,
        spans=len(spans),
        errors=sum(span.error and not was_left(span.attribute) for span in spans),
        services=tuple(sorted({span.source.service for span in spans})),
        models=tuple(sorted(set(filter(None, map(_model, spans))))),
        left=was_left(first.attribute),
    )


def _model(span: StoredSpan) -> str:
    name, version = span.attribute("lepton.model.name"), span.attribute("lepton.model.version")
    return f"{name}@{version}" if name and version else name
