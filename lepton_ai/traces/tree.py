"""A trace in Jaeger's JSON as a tree, flattened to rows in display order, which the page and the terminal draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lepton_ai.traces.segments import Moments, Segment, segments_of
from lepton_ai.traces.spans import was_left

Json = Mapping[str, Any]
Tag = tuple[str, Any]

_SPOILING = 10
"""How many times longer than all else a call that was left must be to run out of the picture."""


@dataclass(frozen=True)
class Event:
    """Something that happened at one moment of a span."""

    name: str
    time_us: int
    fields: tuple[Tag, ...]


@dataclass(frozen=True)
class Link:
    """A span elsewhere, mostly in another trace, that this one has to do with: a batch and its members."""

    trace_id: str
    span_id: str


@dataclass(frozen=True)
class SpanView:
    """A span with what there is to show of it."""

    span_id: str
    parent_id: str
    service: str
    operation: str
    kind: str
    start_us: int
    duration_us: int
    error: bool
    tags: tuple[Tag, ...]
    process_tags: tuple[Tag, ...]
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    warnings: tuple[str, ...]

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us

    @property
    def left(self) -> bool:
        """Whether it ended because its caller went."""
        return was_left(self.tag)

    def tag(self, key: str) -> Any:
        """The value of a tag, None when the span has none of that name."""
        return next((value for name, value in self.tags if name == key), None)


@dataclass(frozen=True)
class Row:
    """One line of the tree: a span, or (span None) a stand-in for a parent that was not received."""

    depth: int
    span: SpanView | None
    missing_id: str
    children: int
    segments: tuple[Segment, ...]
    failed_below: int = 0
    """Spans with an error anywhere below: what folding the row would hide."""


@dataclass(frozen=True)
class TraceTree:
    """A whole trace: its rows parents first, children by start time, and what holds for all of it."""

    trace_id: str
    start_us: int
    duration_us: int
    rows: tuple[Row, ...]
    services: tuple[str, ...]

    @property
    def spans(self) -> Iterator[SpanView]:
        return (row.span for row in self.rows if row.span is not None)

    @property
    def error_count(self) -> int:
        return sum(span.error for span in self.spans)

    @property
    def scale_us(self) -> int:
        """How much time a picture should show. Watches, which last until their caller leaves, may run out of it."""
        end_us = max((span.end_us for span in self.spans if not span.left), default=self.start_us)
        scale_us = end_us - self.start_us
        return scale_us if 0 < scale_us * _SPOILING < self.duration_us else self.duration_us

    @property
    def missing_ids(self) -> tuple[str, ...]:
        """Ids of parents that are referred to and not here."""
        return tuple(row.missing_id for row in self.rows if row.missing_id)


def build_tree(trace: Json) -> TraceTree:
    """Arrange a trace of Jaeger's JSON.

    Never fails on odd traces: spans of which the parent is missing stand under a row that says so, a circle of
    parents is cut at its earliest span, and clocks that disagree only shift bars.
    """
    spans = sorted((span_view(span, trace) for span in trace["spans"]), key=_display_order)
    rows = _with_failures(list(_rows(spans)))
    start_us = min((span.start_us for span in spans), default=0)
    return TraceTree(
        trace_id=str(trace["traceID"]),
        start_us=start_us,
        duration_us=max((span.end_us for span in spans), default=0) - start_us,
        rows=rows,
        services=tuple(dict.fromkeys(row.span.service for row in rows if row.span is not None)),
    )


def is_complete(tree: TraceTree) -> bool:
    """Whether nothing seems to be still on its way: no parent is missing, and every call shows its other side.

    Exporters send in batches, each process when it likes, so the parts of a trace arrive within seconds.
    """
    services_below: dict[str, set[str]] = defaultdict(set)
    for span in tree.spans:
        services_below[span.parent_id].add(span.service)
    calls = (span for span in tree.spans if span.kind == "client" and not span.error)
    return (
        bool(tree.rows)
        and not tree.missing_ids
        and all(services_below[call.span_id] - {call.service} for call in calls)
    )


def span_view(span: Json, trace: Json) -> SpanView:
    """One span of Jaeger's JSON; absent and null lists are empty."""
    process = trace["processes"].get(span["processID"]) or {}
    tags = _pairs(span.get("tags"))
    references = span.get("references") or ()
    return SpanView(
        span_id=span["spanID"],
        parent_id=parent_id(span),
        service=process.get("serviceName", ""),
        operation=span["operationName"],
        kind=str(dict(tags).get("span.kind", "")),
        start_us=span["startTime"],
        duration_us=max(0, span["duration"]),
        # Jaeger's own stores may hand the tag out as text.
        error=any(key == "error" and value in (True, "true") for key, value in tags) and not was_left(dict(tags).get),
        tags=tags,
        process_tags=_pairs(process.get("tags")),
        events=tuple(sorted(map(_event, span.get("logs") or ()), key=lambda event: event.time_us)),
        links=tuple(
            Link(reference["traceID"], reference["spanID"])
            for reference in references
            if reference["refType"] == "FOLLOWS_FROM"
        ),
        warnings=tuple(span.get("warnings") or ()),
    )


def parent_id(span: Json) -> str:
    """The id of a span's parent in the same trace, empty for a root."""
    for reference in span.get("references") or ():
        if reference["refType"] == "CHILD_OF" and reference["traceID"] == span["traceID"]:
            return str(reference["spanID"])
    return ""


def _display_order(span: SpanView) -> tuple[int, int, str]:
    """By start; of those that start together the longest first."""
    return (span.start_us, -span.duration_us, span.span_id)


def _rows(spans: Sequence[SpanView]) -> Iterator[Row]:
    known = {span.span_id for span in spans}
    children: dict[str, list[SpanView]] = defaultdict(list)
    for span in spans:
        children[span.parent_id].append(span)
    drawn: set[str] = set()
    for root in children[""]:
        yield from _subtree(root, children, drawn, depth=0)
    for missing_id in [parent for parent in children if parent and parent not in known]:
        orphans = children[missing_id]
        yield Row(0, None, missing_id, len(orphans), ())
        for orphan in orphans:
            yield from _subtree(orphan, children, drawn, depth=1)
    for span in spans:
        if span.span_id not in drawn:  # only reachable in a circle
            yield from _subtree(span, children, drawn, depth=0)


def _with_failures(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows, each with how many fail below it; backwards, as children come after their parent."""
    waiting: dict[int, int] = defaultdict(int)  # depth → failures there and deeper, whose parent comes further up
    counted = []
    for row in reversed(rows):
        below = waiting.pop(row.depth + 1, 0)
        waiting[row.depth] += below + (row.span is not None and row.span.error)
        counted.append(replace(row, failed_below=below))
    return tuple(reversed(counted))


def _subtree(root: SpanView, children: Mapping[str, list[SpanView]], drawn: set[str], *, depth: int) -> Iterator[Row]:
    """Depth first without recursion: a trace may be a chain of thousands."""
    pending = [(root, depth)]
    while pending:
        span, level = pending.pop()
        if span.span_id in drawn:
            continue
        drawn.add(span.span_id)
        below = [child for child in children.get(span.span_id, ()) if child.span_id not in drawn]
        segments = segments_of(_moments(span), [_moments(child) for child in below])
        yield Row(level, span, "", len(below), segments)
        pending.extend((child, level + 1) for child in reversed(below))


def _moments(span: SpanView) -> Moments:
    moments: dict[str, int] = {}
    for event in span.events:
        moments.setdefault(event.name, event.time_us)
    return moments


def _event(log: Json) -> Event:
    fields = _pairs(log.get("fields"))
    name = next((str(value) for key, value in fields if key == "event"), "")
    return Event(name, log["timestamp"], tuple(pair for pair in fields if pair[0] != "event"))


def _pairs(tags: Iterable[Json] | None) -> tuple[Tag, ...]:
    return tuple((str(tag["key"]), tag["value"]) for tag in tags or ())
