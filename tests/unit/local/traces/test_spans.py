"""Which spans of an export are taken, and what is noted of them."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from lepton_ai.local.traces.spans import NO_SERVICE_NAME, accept
from tests.unit.local.traces.samples import FAILED, START_US, otlp, span_id, trace_id

LIMIT = 4096
GOOD = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="ok", start_time_unix_nano=2000, end_time_unix_nano=5999)


def bare(*spans: Span) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])


def changed(**fields: object) -> Span:
    span = Span()
    span.CopyFrom(GOOD)
    for name, value in fields.items():
        setattr(span, name, value)
    return span


def test_notes_what_is_searched_for() -> None:
    row = accept(otlp(FAILED), max_span_bytes=LIMIT).rows[1]

    assert (row.trace_id, row.span_id, row.parent_id) == (trace_id("trace"), span_id("serve"), span_id("call"))
    assert (row.service, row.operation) == ("inference", "lepton.v1.InferenceService/Predict")
    assert (row.start_us, row.duration_us, row.error) == (START_US + 700, 4900, True)
    assert Span.FromString(row.body).status.message == "not an image"


def test_spans_of_one_exporter_share_their_source() -> None:
    rows = accept(otlp(FAILED), max_span_bytes=LIMIT).rows

    assert len({row.source for row in rows}) == 3
    assert all(not ResourceSpans.FromString(row.source).scope_spans[0].spans for row in rows)


def test_a_resource_without_a_name_gets_jaegers_stand_in() -> None:
    assert accept(bare(GOOD), max_span_bytes=LIMIT).rows[0].service == NO_SERVICE_NAME


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        (changed(trace_id=b""), "trace id"),
        (changed(trace_id=bytes(16)), "trace id"),
        (changed(span_id=b"12345"), "span id"),
        (changed(span_id=bytes(8)), "span id"),
        (changed(parent_span_id=b"1"), "parent"),
        (changed(end_time_unix_nano=2**64 - 1), "63 bits"),
        (changed(name="x" * LIMIT), "at most"),
    ],
)
def test_a_bad_span_is_left_out_and_its_neighbours_are_kept(span: Span, reason: str) -> None:
    batch = accept(bare(span, GOOD), max_span_bytes=LIMIT)

    assert [row.operation for row in batch.rows] == ["ok"]
    assert batch.rejected == 1
    assert reason in batch.reason


def test_a_parent_of_zeros_is_none() -> None:
    assert accept(bare(changed(parent_span_id=bytes(8))), max_span_bytes=LIMIT).rows[0].parent_id == b""


def test_a_span_that_ends_before_it_starts_has_no_duration() -> None:
    assert accept(bare(changed(end_time_unix_nano=0)), max_span_bytes=LIMIT).rows[0].duration_us == 0
