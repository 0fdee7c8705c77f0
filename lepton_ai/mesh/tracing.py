"""Distributed tracing of one process: who samples, how spans are made and marked, and where they go.

A call that is not sampled costs microseconds: no span object is made, only its identity is passed on, so that everybody
downstream knows the decision. See `trace_context` for the W3C side and `client_tracing` for calls that go out.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, TraceState
from opentelemetry.util.types import Attributes, AttributeValue

from lepton_ai.mesh.client_tracing import client_interceptors
from lepton_ai.mesh.span_export import OtlpExporter
from lepton_ai.mesh.span_marks import mark_code, mark_error
from lepton_ai.mesh.trace_context import (
    PER_MESSAGE_STREAMS,
    TRACE_ID_TRAILER,
    context_from,
    current_trace_id,
    grpc_metadata,
    trace_context,
    undecided,
)

__all__ = [
    "PER_MESSAGE_STREAMS",
    "TRACE_ID_TRAILER",
    "Tracing",
    "client_interceptors",
    "context_from",
    "current_trace_id",
    "grpc_metadata",
    "mark_code",
    "mark_error",
    "trace_context",
]

_MAX_QUEUE = 8192
_SCHEDULE_DELAY_MS = 500
_MAX_ATTRIBUTE_CHARS = 256
_FORCED = Context({otel_context.create_key("lepton-sampled"): True})


class TracingSettings(Protocol):
    """What tracing needs to know; ServiceSettings has it."""

    @property
    def otlp_endpoint(self) -> str | None: ...
    @property
    def trace_ratio(self) -> float: ...


class Tracing:
    """Tracing of one process; made once and handed to whoever makes spans."""

    def __init__(self, service: str, *, ratio: float, processor: SpanProcessor | None) -> None:
        """Use `create`, or in tests `lepton_ai.testing.captured_spans`. Without a processor nothing is recorded."""
        self.service = service
        self._ratio = ratio if processor is not None else 0.0
        self._records = processor is not None
        self._provider = TracerProvider(
            sampler=ParentBased(root=_Root(self._ratio)),
            resource=_resource(service),
            span_limits=SpanLimits(max_attribute_length=_MAX_ATTRIBUTE_CHARS, max_attributes=64),
            shutdown_on_exit=False,
        )
        self._exporter: SpanExporter | None = None
        if processor is not None:
            self._provider.add_span_processor(processor)
        self.tracer: trace.Tracer = self._provider.get_tracer("lepton")

    @classmethod
    def create(cls, service: str, settings: TracingSettings, *, exporter: SpanExporter | None = None) -> Tracing:
        """Tracing that sends batches to `exporter`, by default to `settings.otlp_endpoint`; without either, none."""
        if exporter is None and settings.otlp_endpoint is not None:
            exporter = OtlpExporter(settings.otlp_endpoint)
        if exporter is None:
            return cls(service, ratio=0.0, processor=None)
        tracing = cls(service, ratio=settings.trace_ratio, processor=_batching(exporter))
        tracing._exporter = exporter
        return tracing

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
        above = trace.get_current_span(parent)
        if above.get_span_context().is_valid:
            if not (self._records and above.get_span_context().trace_flags.sampled):
                return NonRecordingSpan(above.get_span_context())
        elif random.random() < self._ratio:  # noqa: S311 - sampling, no secret
            parent = _FORCED
        else:
            return NonRecordingSpan(undecided())
        return self.tracer.start_span(name, parent, kind, attributes, links, record_exception=False)

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
        with self._hurrying(timeout_s):
            self._provider.force_flush()

    def shutdown(self, *, timeout_s: float = 2.0) -> None:
        """`flush`, and record nothing from now on. Blocks."""
        with self._hurrying(timeout_s):
            self._provider.shutdown()

    def _hurrying(self, timeout_s: float) -> AbstractContextManager[None]:
        return self._exporter.hurrying(timeout_s) if isinstance(self._exporter, OtlpExporter) else nullcontext()


class _Root(Sampler):
    """Decides for calls without a parent: what `Tracing.begin` has decided already, else the ratio."""

    def __init__(self, ratio: float) -> None:
        self._by_ratio = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if parent_context is _FORCED:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        return self._by_ratio.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        return f"LeptonRoot({self._by_ratio.get_description()})"


def _resource(service: str) -> Resource:
    """Made by hand: Resource.create would read the environment."""
    return Resource(
        {"service.name": service, "service.instance.id": uuid.uuid4().hex, "telemetry.sdk.language": "python"}
    )


def _batching(exporter: SpanExporter) -> BatchSpanProcessor:
    """Bounded, in a thread of its own; the oldest spans go first when the queue is full."""
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)  # it logs "Queue full" per span
    return BatchSpanProcessor(
        exporter, max_queue_size=_MAX_QUEUE, schedule_delay_millis=_SCHEDULE_DELAY_MS, max_export_batch_size=512
    )
