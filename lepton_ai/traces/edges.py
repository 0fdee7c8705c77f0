"""Who called whom: in one trace, to be held against the topology that is meant, and how often in all that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, cast

from lepton_ai.traces.jaeger import Json
from lepton_ai.traces.query import DependencyQuery
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.stored import StoredSpan
from lepton_ai.traces.tree import parent_id

SpanKey = tuple[bytes, bytes]
"""Trace id and span id."""


def call_edges(trace: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The (caller service, callee service) pairs of a trace in Jaeger's JSON.

    An edge is a span whose parent belongs to another service; links (FOLLOWS_FROM) are not calls.
    """
    services = {span["spanID"]: trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"]}
    pairs = {(services.get(parent_id(span)), services[span["spanID"]]) for span in trace["spans"]}
    return {(caller, callee) for caller, callee in pairs if caller is not None and caller != callee}


def dependencies(reader: TraceReader, query: DependencyQuery) -> list[Json]:
    """The calls between services as Jaeger's links, the most frequent first.

    A call is a span that began in the time asked for and whose parent, kept as well, is another service's; links
    (FOLLOWS_FROM) are not calls. Reads every export, so it takes seconds when the store is full.
    """
    services: dict[SpanKey, str] = {}
    parents: dict[SpanKey, SpanKey] = {}
    for span in _kept(reader):
        key = span.trace_id, span.span_id
        services[key] = span.source.service
        if span.parent_id and query.start_us <= span.start_ns // 1000 <= query.end_us:
            parents[key] = span.trace_id, span.parent_id
    calls = Counter((services[parent], services[child]) for child, parent in parents.items() if parent in services)
    return [
        {"parent": caller, "child": callee, "callCount": count}
        for (caller, callee), count in sorted(calls.items(), key=lambda call: (-call[1], call[0]))
        if caller != callee and query.service in ("", caller, callee)
    ]


def _kept(reader: TraceReader) -> Iterator[StoredSpan]:
    for (export_id,) in reader.query("SELECT id FROM exports ORDER BY id"):
        number = cast(int, export_id)
        for span in reader.export(number) or ():
            if reader.directory.has(span.trace_id, number):
                yield span
