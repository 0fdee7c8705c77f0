"""What traces say, as the page shows it: lines of a list, the rows of one, and the calls between services."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lepton_ai.errors import InvalidInput, Unavailable
from lepton_ai.traces.client import TraceClient
from lepton_ai.traces.tree import SpanView, build_tree
from lepton_ai.traces.waterfall import waterfall
from services.health.console.calls import CALLS

Json = dict[str, Any]
_MOST_TRACES = 200
_WORDS = ("service", "operation", "tags", "minDuration", "maxDuration", "limit", "start", "end")
_ENTRY = "inference"
"""The service whose traces the picture of the platform is made of: every request goes through it."""
_EDGE_TRACES = 100
_EDGES_FOR_S = 300.0
_KEEP_EDGES_S = 2.0


class Traced:
    """Asks the trace store or Jaeger; both answer the same questions."""

    def __init__(self, url: str | None, *, timeout_s: float) -> None:
        """`url` of its page; None: there is none, and every question raises Unavailable."""
        self.url = url
        self._client = TraceClient(url, timeout_s=timeout_s) if url else None
        self._edges: tuple[float, Json] | None = None

    async def search(self, wanted: Mapping[str, str]) -> list[Json]:
        """One line for each trace that is wanted, in Jaeger's words (service, operation, tags, minDuration, limit)."""
        said = {name: wanted[name] for name in _WORDS if wanted.get(name)}
        limit = said.get("limit", "50")
        if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_TRACES:
            raise InvalidInput.of_field("limit", f"is not a number from 1 to {_MOST_TRACES}")
        traces = await asyncio.to_thread(self._store().find, {"service": _ENTRY, **said, "limit": limit})
        return sorted(map(line, traces), key=lambda each: -int(each["start_us"]))

    async def services(self) -> list[str]:
        """The services that have sent spans."""
        return await asyncio.to_thread(self._store().services)

    async def waterfall(self, trace_id: str) -> Json:
        """The rows of a trace. Raises NotFound."""
        return waterfall(await asyncio.to_thread(self._store().fetch, trace_id))

    async def edges(self) -> Json:
        """Who calls whom how often, how fast and with which errors, in the newest traces of the last five minutes."""
        if self._edges is None or time.monotonic() - self._edges[0] > _KEEP_EDGES_S:
            now_us = time.time_ns() // 1000
            start_us = now_us - int(_EDGES_FOR_S * 1e6)
            wanted = {"service": _ENTRY, "start": str(start_us), "end": str(now_us), "limit": str(_EDGE_TRACES)}
            traces = await asyncio.to_thread(self._store().find, wanted)
            self._edges = time.monotonic(), edges(traces)
        return self._edges[1]

    def _store(self) -> TraceClient:
        if self._client is None:
            raise Unavailable(
                "This health service knows no trace store.",
                reason="NO_TRACE_STORE",
                fix="Set LEPTON_TRACES_URL to the page of Jaeger or of Lepton's own store.",
            )
        return self._client


def line(trace: Mapping[str, Any]) -> Json:
    """A trace in one line."""
    tree = build_tree(trace)
    spans = list(tree.spans)
    root = next((row.span for row in tree.rows if row.span is not None), None)
    tags = [(span.tag("lepton.model.name"), span.tag("lepton.model.version")) for span in spans]
    models = sorted({f"{model}@{version}" if version else str(model) for model, version in tags if model})
    return {
        "trace_id": tree.trace_id,
        "service": root.service if root else "",
        "operation": root.operation if root else "",
        "start_us": tree.start_us,
        "duration_us": tree.duration_us,
        "spans": len(spans),
        "errors": tree.error_count,
        "services": tree.services,
        "models": models,
    }


@dataclass
class _Calls:
    durations_us: list[int] = field(default_factory=list)
    errors: int = 0


def edges(traces: Sequence[Mapping[str, Any]]) -> Json:
    """The calls between services in these traces: a span whose parent is another service's."""
    calls: dict[tuple[str, str], _Calls] = defaultdict(_Calls)
    starts: list[int] = []
    for trace in traces:
        tree = build_tree(trace)
        starts.append(tree.start_us)
        _count(tree.spans, calls)
    return {
        "known": [[caller, callee] for caller, callees in CALLS.items() for callee in callees],
        "traces": len(traces),
        "from_us": min(starts, default=0),
        "to_us": max(starts, default=0),
        "edges": [_edge(*names, found) for names, found in sorted(calls.items())],
    }


def _count(spans: Iterable[SpanView], calls: Mapping[tuple[str, str], _Calls]) -> None:
    by_id = {span.span_id: span for span in spans}
    for span in by_id.values():
        parent = by_id.get(span.parent_id)
        if parent is not None and parent.service != span.service and not span.left:
            found = calls[parent.service, span.service]
            found.durations_us.append(span.duration_us)
            found.errors += span.error


def _edge(caller: str, callee: str, calls: _Calls) -> Json:
    ordered = sorted(calls.durations_us)
    return {
        "caller": caller,
        "callee": callee,
        "calls": len(ordered),
        "errors": calls.errors,
        "p50_us": ordered[len(ordered) // 2],
        "p95_us": ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)],
    }
