"""Which spans of an export are taken, what is noted of them, and that they are read again as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from lepton_ai.errors import InvalidInput
from lepton_ai.traces.exports import (
    Encoding,
    Export,
    Extent,
    accept_json,
    accept_protobuf,
    decode,
    without_excess,
)
from lepton_ai.traces.otlp_json import parse_json
from lepton_ai.traces.spans import NO_SERVICE_NAME
from lepton_ai.traces.stored import StoredSpan, stored_spans
from tests.unit.traces.samples import FAILED, START_US, TRITON_OTLP_JSON, Sample, otlp, span_id, trace_id

LIMIT = 4096
GOOD = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="ok", start_time_unix_nano=2000, end_time_unix_nano=5999)
PLAIN: dict[str, Any] = {
    "traceId": "74" * 16,
    "spanId": "73" * 8,
    "parentSpanId": "",
    "name": "好",
    "kind": 2,
    "startTimeUnixNano": "2000",
    "endTimeUnixNano": "5999",
    "attributes": [{"key": "k", "value": {"intValue": "-5"}}],
    "events": [{"name": "e", "timeUnixNano": "3000"}],
    "status": {"code": 2, "message": "no"},
}


def bare(*spans: Span) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])


def accept(request: ExportTraceServiceRequest) -> Export:
    return accept_protobuf(request.SerializeToString(), max_span_bytes=LIMIT)


def text(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def read(export: Export) -> list[StoredSpan]:
    return list(stored_spans(export.encoding, export.body))


def changed(**fields: object) -> Span:
    span = Span()
    span.CopyFrom(GOOD)
    for name, value in fields.items():
        setattr(span, name, value)
    return span


def test_notes_what_is_searched_for() -> None:
    export = accept(otlp(FAILED))

    assert export.traces == {trace_id("trace"): 3}
    assert export.extents[1] == Extent(
        service="inference",
        operations=frozenset({"lepton.v1.InferenceService/Predict"}),
        earliest_us=START_US + 700,
        latest_us=START_US + 700,
        shortest_us=4900,
        longest_us=4900,
    )


def test_an_extent_spans_all_of_a_service() -> None:
    samples = [Sample("a", "s", 5, 30), Sample("b", "s", 9, 20), Sample("c", "other", 1, 1), Sample("d", "s", 7, 40)]
    extent = accept(otlp(samples)).extents[0]

    assert extent == Extent("s", frozenset("abd"), START_US + 5, START_US + 9, 20, 40)


def test_protobuf_is_kept_as_it_came_and_read_span_by_span() -> None:
    body = otlp(FAILED).SerializeToString()
    export = accept_protobuf(body, max_span_bytes=LIMIT)
    serve = read(export)[1]

    assert (export.encoding, export.body) == (Encoding.PROTOBUF, body)
    assert (serve.trace_id, serve.span_id, serve.parent_id) == (trace_id("trace"), span_id("serve"), span_id("call"))
    assert (serve.source.service, serve.operation, serve.error) == ("inference", FAILED[1].operation, True)
    assert (serve.start_ns, serve.end_ns) == ((START_US + 700) * 1000, (START_US + 5600) * 1000)
    assert serve.message.status.message == "not an image"
    assert serve.source.scope.name == "lepton"


def test_tritons_json_is_kept_as_it_came() -> None:
    body = TRITON_OTLP_JSON.read_bytes()
    export = accept_json(body, max_span_bytes=LIMIT)

    assert export.encoding == Encoding.PLAIN_JSON
    assert export.body == body.strip()
    assert export.extents[0].service == "triton-inference-server"
    assert export.extents[0].operations >= {"compute", "echo", "InferRequest"}
    assert [span.message for span in read(export)] == list(
        parse_json(body).resource_spans[0].scope_spans[0].spans,
    )


def same(json_span: StoredSpan, span: StoredSpan) -> bool:
    names = ("trace_id", "span_id", "parent_id", "operation", "start_ns", "end_ns", "error", "message")
    return all(getattr(json_span, name) == getattr(span, name) for name in names) and (
        (json_span.source.service, json_span.source.resource, json_span.source.scope)
        == (span.source.service, span.source.resource, span.source.scope)
    )


def test_plain_json_and_protobuf_read_the_same() -> None:
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "服务"}}]},
                "scopeSpans": [{"scope": {"name": "n", "version": "1"}, "spans": [PLAIN, {**PLAIN, "status": {}}]}],
            }
        ]
    }
    export = accept_json(json.dumps(document).encode(), max_span_bytes=LIMIT)
    as_protobuf = stored_spans(Encoding.PROTOBUF, decode(export.encoding, export.body).SerializeToString())

    assert export.encoding == Encoding.PLAIN_JSON
    assert export.extents == accept(decode(export.encoding, export.body)).extents
    assert all(same(*pair) for pair in zip(read(export), as_protobuf, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"startTimeUnixNano": 2000},
        {"kind": "SPAN_KIND_SERVER"},
        {"kind": 99},
        {"traceId": "AB" * 16},
        {"attributes": [{"key": "k", "value": {"arrayValue": {"values": []}}}]},
        {"attributes": [{"key": "k", "value": {"intValue": 1}}]},
        {"links": [{"traceId": "ab" * 16, "spanId": "cd" * 8}]},
        {"something": "new"},
        {"name": "half a pair: \ud800"},
    ],
)
def test_json_that_is_not_plain_is_turned_into_protobuf(change: dict[str, Any]) -> None:
    body = text({**PLAIN, **change})
    export = accept_json(body, max_span_bytes=LIMIT)

    assert export.encoding == Encoding.PROTOBUF
    assert export.spans == 1
    assert [span.message for span in read(export)] == list(parse_json(body).resource_spans[0].scope_spans[0].spans)


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "stringValue": st.text(),
        "boolValue": st.booleans(),
        "intValue": st.integers(-(2**64), 2**64).map(str) | st.sampled_from(["", "-", "٣", "1 "]),
        "doubleValue": st.floats() | st.integers() | st.just(10**400),
    },
)
_ATTRIBUTES = st.lists(st.fixed_dictionaries({"key": st.text(max_size=3), "value": _VALUES}), max_size=2)
_TIMES = st.integers(0, 2**65).map(str) | st.text("0123456789+-_ ٣", max_size=4)
_IDS = st.sampled_from(["74" * 16, "73" * 8, "00" * 16, "00" * 8, "AB" * 8, "", "7" * 15, "٣" * 16, "74" * 16 + "\n"])
_SPANS = st.fixed_dictionaries(
    {"traceId": _IDS, "spanId": _IDS, "name": st.text(max_size=3), "startTimeUnixNano": _TIMES},
    optional={
        "endTimeUnixNano": _TIMES,
        "parentSpanId": _IDS,
        "kind": st.integers(-1, 7) | st.booleans(),
        "attributes": _ATTRIBUTES,
        "events": st.lists(st.fixed_dictionaries({"name": st.text(max_size=2), "timeUnixNano": _TIMES}), max_size=2),
        "status": st.fixed_dictionaries({}, optional={"code": st.integers(-1, 3), "message": st.text(max_size=2)}),
    },
)
_ALMOST_PLAIN = _SPANS.map(lambda span: {**span, **{name: PLAIN[name] for name in ("traceId", "spanId")}})


@given(st.lists(_SPANS | _ALMOST_PLAIN | st.just(PLAIN), max_size=3))
def test_what_is_kept_as_json_can_always_be_read(spans: list[Any]) -> None:
    body = text(*spans)
    try:
        export = accept_json(body, max_span_bytes=LIMIT)
    except InvalidInput:
        with pytest.raises(InvalidInput):
            parse_json(body)
        return
    from_protobuf = accept(parse_json(body))
    assert (export.traces, export.extents) == (from_protobuf.traces, from_protobuf.extents)
    assert (export.rejected, export.reason) == (from_protobuf.rejected, from_protobuf.reason)
    assert all(same(*pair) for pair in zip(read(export), read(from_protobuf), strict=True))


def test_of_a_key_that_comes_twice_the_last_one_counts_in_both_readings() -> None:
    twice = json.dumps(PLAIN)[:-1] + f', "traceId": "{"75" * 16}"}}'
    export = accept_json(text(PLAIN).replace(json.dumps(PLAIN).encode(), twice.encode()), max_span_bytes=LIMIT)

    assert list(export.traces) == [b"u" * 16]
    assert read(export)[0].trace_id == b"u" * 16


def test_a_resource_without_a_name_gets_jaegers_stand_in() -> None:
    assert accept(bare(GOOD)).extents[0].service == NO_SERVICE_NAME
    assert accept_json(text(PLAIN), max_span_bytes=LIMIT).extents[0].service == NO_SERVICE_NAME


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
    export = accept(bare(GOOD, span, GOOD))

    assert [span.operation for span in read(export)] == ["ok", "ok"]
    assert (export.rejected, export.spans) == (1, 2)
    assert reason in export.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"traceId": "00" * 16}, "trace id"),
        ({"spanId": "00" * 8}, "span id"),
        ({"parentSpanId": "00"}, "parent"),
        ({"startTimeUnixNano": str(2**63)}, "63 bits"),
        ({"name": "x" * LIMIT}, "at most"),
    ],
)
def test_a_bad_span_in_json_is_left_out_in_the_same_way(change: dict[str, Any], reason: str) -> None:
    export = accept_json(text(PLAIN, {**PLAIN, **change}, PLAIN), max_span_bytes=LIMIT)

    assert (export.rejected, export.spans, len(read(export))) == (1, 2, 2)
    assert reason in export.reason


def test_many_spans_may_be_larger_together_than_one_may_be() -> None:
    many = [{**PLAIN, "spanId": f"{number:016x}"} for number in range(1, 101)]
    export = accept_json(text(*many), max_span_bytes=LIMIT)

    assert (export.encoding, export.spans, export.rejected) == (Encoding.PLAIN_JSON, 100, 0)


def test_an_export_of_bad_spans_only_has_no_trace() -> None:
    export = accept(bare(changed(trace_id=b"")))

    assert (export.traces, list(export.extents), export.rejected) == ({}, [], 1)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_excess_spans_are_cut_from_their_trace_only(encoding: Encoding) -> None:
    other = {**PLAIN, "traceId": "75" * 16}
    export = accept_json(text(PLAIN, other, PLAIN, PLAIN), max_span_bytes=LIMIT)
    if encoding == Encoding.PROTOBUF:
        export = accept(decode(export.encoding, export.body))
    trimmed = without_excess(export, {b"t" * 16: 1})

    assert trimmed.traces == {b"t" * 16: 1, b"u" * 16: 1}
    assert (trimmed.rejected, [span.trace_id[:1] for span in read(trimmed)]) == (2, [b"t", b"u"])


def test_a_parent_of_zeros_is_none() -> None:
    assert read(accept(bare(changed(parent_span_id=bytes(8)))))[0].parent_id == b""
    assert read(accept_json(text({**PLAIN, "parentSpanId": "0" * 16}), max_span_bytes=LIMIT))[0].parent_id == b""


def test_a_span_that_ends_before_it_starts_has_no_duration() -> None:
    assert accept(bare(changed(end_time_unix_nano=0))).extents[0].longest_us == 0
