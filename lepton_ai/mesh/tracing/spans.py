"""Spans that are recorded: OpenTelemetry's `Span` interface over plain values, a few microseconds a span.

OpenTelemetry's own SDK makes the same spans at several times the price: locks, limits and views for cases that a
service does not have. Here a span belongs to whoever holds it and is handed on, once, when it ends.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue, Attributes

from lepton_ai.mesh.tracing.marks import mark_error
from lepton_ai.mesh.tracing.values import MAX_ATTRIBUTES, bounded_attributes, bounded_value

MAX_EVENTS = 128
MAX_LINKS = 128

_UNSET = Status()


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened while a span was open."""

    name: str
    time_ns: int
    attributes: Mapping[str, AnyValue]
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class SpanLink:
    """Another span that is related to this one without being its parent."""

    context: SpanContext
    attributes: Mapping[str, AnyValue]
    dropped_attributes: int = 0


class RecordedSpan(Span):
    """A span that will be exported. Its fields are for reading; once it has ended, nothing changes them any more.

    What exceeds a limit is left out and counted, as OpenTelemetry's specification asks.
    """

    __slots__ = (
        "_on_end",
        "attributes",
        "context",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "end_ns",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "start_ns",
        "status",
    )

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        *,
        kind: SpanKind,
        start_ns: int,
        on_end: Callable[[RecordedSpan], object],
    ) -> None:
        """`on_end` gets the span when it has ended; times are nanoseconds of the wall clock."""
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.attributes: dict[str, AnyValue] = {}
        self.events: tuple[SpanEvent, ...] = ()
        self.links: tuple[SpanLink, ...] = ()
        self.status = _UNSET
        self.dropped_attributes = self.dropped_events = self.dropped_links = 0
        self._on_end = on_end

    def get_span_context(self) -> SpanContext:
        """The span's identity."""
        return self.context

    def is_recording(self) -> bool:
        """True until the span has ended."""
        return self.end_ns is None

    def end(self, end_time: int | None = None) -> None:
        """Close the span and hand it on. Only the first call counts."""
        if self.end_ns is None:
            self.end_ns = time.time_ns() if end_time is None else end_time
            self._on_end(self)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set one attribute, in place of an earlier one of that name."""
        if self.end_ns is not None:
            return
        if len(self.attributes) >= MAX_ATTRIBUTES and key not in self.attributes:
            self.dropped_attributes += 1
            return
        self.attributes[key] = bounded_value(value)

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note that something has happened, now or at `timestamp` (ns)."""
        if self.end_ns is not None:
            return
        if len(self.events) >= MAX_EVENTS:
            self.dropped_events += 1
            return
        kept = bounded_attributes(attributes)
        time_ns = time.time_ns() if timestamp is None else timestamp
        self.events += (SpanEvent(name, time_ns, kept, len(attributes or ()) - len(kept)),)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Point to another span. One without an identity is left out unless it says something."""
        if self.end_ns is not None or not (context.is_valid or attributes or context.trace_state):
            return
        if len(self.links) >= MAX_LINKS:
            self.dropped_links += 1
            return
        kept = bounded_attributes(attributes)
        self.links += (SpanLink(context, kept, len(attributes or ()) - len(kept)),)

    def update_name(self, name: str) -> None:
        """Give the span another name."""
        if self.end_ns is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how the work went. OK is final, and nothing goes back to UNSET."""
        if isinstance(status, StatusCode):
            status = Status(status, description)
        if self.end_ns is None and not status.is_unset and self.status.status_code is not StatusCode.OK:
            self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an exception with its text and traceback. Lepton itself never does: they may hold payloads or paths."""
        module, name = type(exception).__module__, type(exception).__qualname__
        known: dict[str, AnyValue] = {
            "exception.type": name if module == "builtins" else f"{module}.{name}",
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**known, **(attributes or {})}, timestamp)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """End a `with` block around the span, marked as failed when the block raises."""
        if exc_val is not None:
            mark_error(self, exc_val)
        self.end()

    def __repr__(self) -> str:
        fields = f"{self.name!r}, {self.kind.name}, {self.attributes}, {self.status.status_code.name}"
        return f"RecordedSpan({fields}, {self.status.description!r}, events={self.events}, links={self.links})"
