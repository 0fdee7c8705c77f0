"""What is sent is what OpenTelemetry's own SDK and encoder would send for the same calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer, TraceState

from lepton_ai.mesh.tracing.context import context_of
from lepton_ai.mesh.tracing.encoding import SCOPE, encode
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.mesh.tracing.tracer import RecordingTracer

RESOURCE = {"service.name": "test", "service.instance.id": "1"}
PARENT = SpanContext(0xABC, 0xDEF, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("vendor", "1")]))


class _Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def make_spans(tracer: Tracer) -> None:
    """One of everything."""
    for kind in SpanKind:
        tracer.start_span(f"root {kind.name}", context_of(None), kind, start_time=1).end(2)
    attributes: dict[str, Any] = {"text": "猫", "yes": True, "n": -3, "x": 1.5, "raw": b"\x00", "none": None}
    links = [Link(PARENT, {"why": "kin"}), Link(SpanContext(5, 6, is_remote=False))]
    span = tracer.start_span("child", context_of(PARENT), attributes=attributes, links=links, start_time=3)
    span.set_attribute("several", ["a", "b"])
    span.set_attributes({"nested": {"deep": (1, 2)}, "long": "长" * 300})
    span.add_event("tick", {"n": 1}, timestamp=4)
    span.set_status(StatusCode.ERROR, "broken")
    span.end(5)
    tracer.start_span("fine", context_of(PARENT), start_time=6).end(7)


def by_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> ExportTraceServiceRequest:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "256")
    kept = _Kept()
    provider = TracerProvider(resource=Resource(RESOURCE), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    make_spans(provider.get_tracer(SCOPE))
    return encode_spans(kept.spans)


def by_lepton() -> ExportTraceServiceRequest:
    ended: list[RecordedSpan] = []
    make_spans(RecordingTracer(1.0, ended.append))
    return encode(RESOURCE, ended)


def comparable(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """The request without what is random, and without the states of linked traces, which the SDK leaves out."""
    (process,) = request.resource_spans
    (scope,) = process.scope_spans
    for span in scope.spans:
        assert len(span.span_id) == 8
        assert len(span.trace_id) == 16
        span.span_id = b""
        if not span.parent_span_id:
            span.trace_id = b""
        span.SetInParent()
        if not span.HasField("status"):
            span.status.SetInParent()  # an absent status and an empty one both say "unset"
        for link in span.links:
            link.trace_state = ""
    return request


def test_the_message_is_the_one_that_opentelemetry_would_send(monkeypatch: pytest.MonkeyPatch) -> None:
    assert comparable(by_lepton()) == comparable(by_opentelemetry(monkeypatch))


def test_every_span_has_an_id_of_its_own() -> None:
    spans = by_lepton().resource_spans[0].scope_spans[0].spans
    assert len({span.span_id for span in spans}) == len(spans)


def test_what_was_left_out_is_said() -> None:
    ended: list[RecordedSpan] = []
    span = RecordingTracer(1.0, ended.append).start_span("many", context_of(None))
    span.set_attributes({f"a{number}": number for number in range(70)})
    span.end()
    (sent,) = encode(RESOURCE, ended).resource_spans[0].scope_spans[0].spans
    assert (len(sent.attributes), sent.dropped_attributes_count) == (64, 6)


def test_a_span_that_cannot_be_sent_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[RecordedSpan] = []
    tracer = RecordingTracer(1.0, ended.append)
    tracer.start_span("before", context_of(None)).end()
    tracer.start_span("in ancient times", context_of(None), start_time=-1).end()
    tracer.start_span("after", context_of(None)).end()
    sent = encode(RESOURCE, ended).resource_spans[0].scope_spans[0].spans
    assert [span.name for span in sent] == ["before", "after"]
    assert len(caplog.records) == 1
