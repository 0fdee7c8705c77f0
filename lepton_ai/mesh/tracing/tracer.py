"""Makes spans: recorded ones in traces that are sampled, stand-ins that name the trace in all others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes

from lepton_ai.mesh.tracing.context import undecided
from lepton_ai.mesh.tracing.spans import RecordedSpan

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NO_STATE = TraceState()


class RecordingTracer(NoOpTracer):
    """OpenTelemetry's `Tracer`. Whoever started a trace has decided whether it is sampled; roots go by `ratio`.

    Inherits `start_as_current_span` from NoOpTracer, the only class of OpenTelemetry's API that implements it.
    """

    def __init__(self, ratio: float, on_end: Callable[[RecordedSpan], object] | None) -> None:
        """`on_end` gets every span that has ended; without it nothing is recorded and traces pass through."""
        self._ratio = ratio
        self._on_end = on_end

    def start_span(  # noqa: PLR0913 - OpenTelemetry's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start a span below that of `context` (default: the current one), or a trace; `start_time` in ns.

        It is not made current. Used in a `with` block, a recorded one is marked by `mark_error` when the block raises,
        whatever the last two arguments say.
        """
        above = trace.get_current_span(context)
        parent = above.get_span_context()
        span = self._start_recorded(name, parent, kind, start_time)
        if span is not None:
            if attributes:
                span.set_attributes(attributes)
            for link in links or ():
                span.add_link(link.context, link.attributes)
            return span
        if parent.is_valid:
            return above if isinstance(above, NonRecordingSpan) else NonRecordingSpan(parent)
        return NonRecordingSpan(undecided())

    def start_recorded(
        self, name: str, context: Context, kind: SpanKind, attributes: Attributes
    ) -> RecordedSpan | None:
        """`start_span`, but None for a span that would not be recorded: for work that has an identity already."""
        span = self._start_recorded(name, trace.get_current_span(context).get_span_context(), kind, None)
        if span is not None and attributes:
            span.set_attributes(attributes)
        return span

    def _start_recorded(
        self, name: str, parent: SpanContext, kind: SpanKind, start_time: int | None
    ) -> RecordedSpan | None:
        on_end = self._on_end
        if on_end is None:
            return None
        if parent.is_valid:
            if not parent.trace_flags.sampled:
                return None
            identity, above = _identity(parent.trace_id, parent.trace_state), parent
        elif random.random() < self._ratio:  # noqa: S311 - sampling, no secret
            identity, above = _identity(random.getrandbits(128) or 1, _NO_STATE), None
        else:
            return None
        return RecordedSpan(name, identity, above, kind=kind, start_ns=start_time or time.time_ns(), on_end=on_end)

    def stop(self) -> None:
        """Record nothing from now on."""
        self._on_end = None


def _identity(trace_id: int, state: TraceState) -> SpanContext:
    return SpanContext(trace_id, random.getrandbits(64) or 1, is_remote=False, trace_flags=_SAMPLED, trace_state=state)
