"""Sampling is decided at the root and held everywhere; spans say how their work ended, and no more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from lepton_ai.errors import Cancelled, NotFound
from lepton_ai.mesh.tracing import Tracing, current_trace_id
from lepton_ai.mesh.tracing.context import EMPTY, context_from
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.testing import captured_spans, quick_settings
from lepton_ai.v1 import common_pb2

_ID = "0af7651916cd43dd8448eb211c80319c"


def parent(flags: str) -> trace.Context:  # type: ignore[name-defined]
    return context_from(common_pb2.TraceContext(traceparent=f"00-{_ID}-b7ad6b7169203331-{flags}"))


def test_a_sampled_parent_is_followed_whatever_the_ratio() -> None:
    with captured_spans(ratio=0.0) as captured, captured.tracing.span("work", context=parent("01")):
        assert current_trace_id() == _ID
    assert captured.names == ["work"]


def test_an_unsampled_parent_is_followed_whatever_the_ratio() -> None:
    with captured_spans(ratio=1.0) as captured:
        with captured.tracing.span("work", context=parent("00")) as span:
            assert current_trace_id() == _ID
        assert not span.is_recording()
    assert captured.names == []


def test_roots_are_sampled_by_ratio() -> None:
    with captured_spans(ratio=0.25) as captured:
        for _ in range(2000):
            with captured.tracing.span("root", context=EMPTY):
                pass
    assert 380 < len(captured.spans) < 620  # five standard deviations


def test_plain_opentelemetry_roots_are_sampled_by_the_same_ratio() -> None:
    with captured_spans(ratio=0.0) as captured, captured.tracing.tracer.start_as_current_span("root"):
        pass
    assert captured.names == []


def test_what_happens_below_an_unsampled_root_is_not_sampled_either() -> None:
    with captured_spans(ratio=0.0) as captured, captured.tracing.span("root", context=EMPTY):
        outer = current_trace_id()
        assert outer
        with captured.tracing.span("child"), captured.tracing.tracer.start_as_current_span("grandchild"):
            assert current_trace_id() == outer
    assert captured.names == []


def test_attributes_and_kind_of_a_root_are_kept() -> None:
    with captured_spans() as captured:
        captured.tracing.begin("root", parent=EMPTY, kind=SpanKind.SERVER, attributes={"a": 1}).end()
    assert captured.spans[0].attributes == {"a": 1}
    assert captured.spans[0].kind is SpanKind.SERVER


def test_a_lepton_error_marks_its_span_with_code_and_message() -> None:
    with captured_spans() as captured, pytest.raises(NotFound), captured.tracing.span("work"):
        raise NotFound("no model 'cat'")
    span = captured.spans[0]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "no model 'cat'"
    assert span.attributes == {"error.type": "NOT_FOUND"}


def test_a_foreign_exception_marks_its_span_without_its_text() -> None:
    with captured_spans() as captured, pytest.raises(ValueError, match="secret"), captured.tracing.span("work"):
        raise ValueError("secret")
    span = captured.spans[0]
    assert span.attributes == {"error.type": "ValueError"}
    assert "secret" not in repr(span)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Cancelled("The caller gave up.")])
def test_work_that_was_given_up_has_not_failed(error: BaseException) -> None:
    with captured_spans() as captured:
        with pytest.raises(type(error)), captured.tracing.span("work"):
            raise error
        assert captured.spans[0].status.status_code is StatusCode.UNSET


def test_long_attributes_are_cut() -> None:
    with captured_spans() as captured, captured.tracing.span("work", attributes={"text": "长" * 1000}):
        pass
    assert captured.spans[0].attributes == {"text": "长" * 256}


def test_a_child_continues_the_trace_of_its_parent_and_its_state() -> None:
    message = common_pb2.TraceContext(traceparent=f"00-{_ID}-b7ad6b7169203331-01", tracestate="vendor=1")
    with captured_spans() as captured:
        captured.tracing.begin("child", parent=context_from(message)).end()
    (span,) = captured.spans
    assert span.parent is not None
    assert (span.parent.span_id, span.parent.is_remote) == (0xB7AD6B7169203331, True)
    assert f"{span.context.trace_id:032x}" == _ID
    assert span.context.span_id not in (0, span.parent.span_id)
    assert span.context.trace_flags.sampled
    assert span.context.trace_state == {"vendor": "1"}


def test_what_opentelemetry_calls_the_current_span_is_the_recorded_one() -> None:
    with captured_spans() as captured:
        with captured.tracing.span("work"):
            trace.get_current_span().set_attribute("by", "a library")
        with captured.tracing.tracer.start_as_current_span("elsewhere") as span:
            assert trace.get_current_span() is span
    assert captured.names == ["work", "elsewhere"]
    assert captured.spans[0].attributes == {"by": "a library"}


def test_without_an_exporter_nothing_is_recorded_and_traces_pass_through() -> None:
    tracing = Tracing.create("test", quick_settings(otlp_endpoint=None, trace_ratio=1.0))
    assert not tracing.begin("root", parent=EMPTY).is_recording()
    span = tracing.begin("child", parent=parent("01"))
    assert not span.is_recording()
    assert span.get_span_context().trace_flags.sampled


class _List:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.closed = threading.Event()

    def export(self, spans: Sequence[RecordedSpan], *, timeout_s: float) -> int:
        self.names += [span.name for span in spans]
        return 0

    def close(self) -> None:
        self.closed.set()


def test_flush_sends_what_is_waiting_and_shutdown_the_rest() -> None:
    exporter = _List()
    tracing = Tracing.create("test", quick_settings(trace_ratio=1.0), exporter=exporter)
    tracing.begin("first", parent=EMPTY).end()
    tracing.flush()
    assert exporter.names == ["first"]
    tracing.begin("second", parent=EMPTY).end()
    tracing.shutdown()
    assert exporter.names == ["first", "second"]
    assert exporter.closed.is_set()
    assert not tracing.begin("third", parent=EMPTY).is_recording()
