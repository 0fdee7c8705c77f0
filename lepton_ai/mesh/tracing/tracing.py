"""Tracing of one process: starts spans, samples, and sends what has ended.

A call that is not sampled costs microseconds: no span object is made, only its identity is passed on, so that everybody
downstream knows the decision. A sampled one costs a few more: `tracer` makes its `spans`, `sender` carries them off.
See `context` for the W3C side and `calls` for calls that go out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import Attributes, AttributeValue

from lepton_ai.mesh.tracing.export import OtlpExporter
from lepton_ai.mesh.tracing.marks import mark_error
from lepton_ai.mesh.tracing.sender import SpanExporter, SpanSender
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.mesh.tracing.tracer import RecordingTracer


class TracingSettings(Protocol):
    """What tracing needs to know; ServiceSettings has it."""

    @property
    def otlp_endpoint(self) -> str | None: ...
    @property
    def trace_ratio(self) -> float: ...


class Tracing:
    """Tracing of one process; made once and handed to whoever makes spans."""

    def __init__(self, service: str, *, ratio: float, on_end: Callable[[RecordedSpan], object] | None) -> None:
        """Use `create`, or in tests `lepton_ai.testing.captured_spans`.

        `on_end` gets every span that has ended; without it nothing is recorded.
        """
        self.service = service
        self.tracer = RecordingTracer(ratio, on_end)
        self._sender: SpanSender | None = None

    @classmethod
    def create(cls, service: str, settings: TracingSettings, *, exporter: SpanExporter | None = None) -> Tracing:
        """Tracing that sends batches to `exporter`, by default to `settings.otlp_endpoint`; with neither it is off."""
        if exporter is None and settings.otlp_endpoint is not None:
            exporter = OtlpExporter(settings.otlp_endpoint, _resource(service))
        if exporter is None:
            return cls(service, ratio=0.0, on_end=None)
        sender = SpanSender(exporter)
        tracing = cls(service, ratio=settings.trace_ratio, on_end=sender.put)
        tracing._sender = sender
        return tracing

    @property
    def dropped_spans(self) -> int:
        """Spans that were recorded and could not be sent."""
        return 0 if self._sender is None else self._sender.dropped

    def begin(
        self,
        name: str,
        *,
        parent: Context,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
    ) -> Span:
        """Start a span below `parent`, or a trace when `parent` has no span. The caller ends it.

        It is not made current. What is not sampled gets a span that records nothing and still names the trace.
        """
        return self.tracer.start_span(name, parent, kind, attributes, links)

    def begin_recorded(
        self, name: str, *, parent: Context, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes = None
    ) -> Span | None:
        """`begin`, but None where nothing would be recorded: for many small pieces of work that share an identity."""
        return self.tracer.start_recorded(name, parent, kind, attributes)

    @contextmanager
    def span(
        self,
        name: str,
        *,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[Link] | None = None,
    ) -> Iterator[Span]:
        """A span around a block, below `context` (default: the current one).

        It is current inside the block, and marked as failed when the block raises.
        """
        parent = otel_context.get_current() if context is None else context
        span = self.begin(name, parent=parent, kind=kind, attributes=attributes, links=links)
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        try:
            yield span
        except BaseException as error:
            mark_error(span, error)
            raise
        finally:
            otel_context.detach(token)
            span.end()

    def flush(self, *, timeout_s: float = 2.0) -> None:
        """Send what is waiting; what the collector does not take in time is dropped. Blocks: call it from a thread."""
        if self._sender is not None:
            self._sender.flush(timeout_s)

    def shutdown(self, *, timeout_s: float = 2.0) -> None:
        """`flush`, and record nothing from now on. Blocks."""
        self.tracer.stop()
        if self._sender is not None:
            self._sender.close(timeout_s)


def _resource(service: str) -> dict[str, str]:
    """What OpenTelemetry calls the resource: the process whose spans these are."""
    return {"service.name": service, "service.instance.id": uuid.uuid4().hex, "telemetry.sdk.language": "python"}
