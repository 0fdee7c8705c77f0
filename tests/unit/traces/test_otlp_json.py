"""OTLP JSON as Triton and others write it, and everything that is not quite it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lepton_ai.errors import InvalidInput
from lepton_ai.traces.otlp_json import parse_json
from tests.unit.traces.samples import TRITON_OTLP_JSON, TRITON_TRACE_ID


def export(span: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def only_span(request: ExportTraceServiceRequest) -> Span:
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_reads_what_triton_sends() -> None:
    request = parse_json(TRITON_OTLP_JSON.read_bytes())

    resource = request.resource_spans[0]
    spans = {span.name: span for span in resource.scope_spans[0].spans if span.trace_id.hex() == TRITON_TRACE_ID}
    assert {a.key: a.value.string_value for a in resource.resource.attributes}[
        "service.name"
    ] == "triton-inference-server"
    assert resource.scope_spans[0].scope.name == "triton-server"
    assert list(spans) == ["compute", "echo", "InferRequest"]
    assert spans["echo"].parent_span_id == spans["InferRequest"].span_id
    assert spans["InferRequest"].parent_span_id.hex() == "00f067aa0ba902b7"
    assert spans["echo"].kind == Span.SPAN_KIND_SERVER
    assert [event.name for event in spans["echo"].events] == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    assert spans["echo"].start_time_unix_nano == 1795258201349905878
    assert {a.key: a.value.int_value for a in spans["echo"].attributes}["triton.trace_id"] == 2


def test_takes_numbers_and_strings_for_numbers_and_names_for_enums() -> None:
    span = only_span(
        parse_json(
            export({"startTimeUnixNano": 5, "endTimeUnixNano": "7", "kind": "SPAN_KIND_CLIENT", "status": {"code": 2}})
        )
    )

    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (5, 7)
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert span.status.code == Status.STATUS_CODE_ERROR


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ({"stringValue": "猫"}, "string_value", "猫"),
        ({"boolValue": False}, "bool_value", False),
        ({"intValue": "-9223372036854775808"}, "int_value", -(2**63)),
        ({"doubleValue": 1}, "double_value", 1.0),
        ({"doubleValue": "Infinity"}, "double_value", float("inf")),
        ({"bytesValue": "AAE="}, "bytes_value", b"\0\1"),
    ],
)
def test_reads_every_kind_of_value(value: dict[str, Any], field: str, expected: Any) -> None:
    span = only_span(parse_json(export({"attributes": [{"key": "k", "value": value}]})))

    assert span.attributes[0].value.WhichOneof("value") == field
    assert getattr(span.attributes[0].value, field) == expected


def test_reads_nested_values() -> None:
    nested = {"arrayValue": {"values": [{"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}]}}

    span = only_span(parse_json(export({"attributes": [{"key": "k", "value": nested}]})))

    assert span.attributes[0].value.array_value.values[0].kvlist_value.values[0].value.int_value == 1


@pytest.mark.parametrize("empty", [{}, {"resourceSpans": None}, {"resourceSpans": [{"scopeSpans": None}]}, {"new": 1}])
def test_absent_and_null_and_unknown_fields_are_fine(empty: dict[str, Any]) -> None:
    assert not [s for r in parse_json(json.dumps(empty).encode()).resource_spans for s in r.scope_spans]


def test_ignores_what_c_programs_leave_behind_the_document() -> None:
    assert parse_json(b'{"resourceSpans":[]}\n\0') == ExportTraceServiceRequest()


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert only_span(parse_json(export({"name": "a\ud800b"}))).name == "a?b"


def test_an_unknown_kind_becomes_unspecified() -> None:
    assert only_span(parse_json(export({"kind": 99}))).kind == Span.SPAN_KIND_UNSPECIFIED


@pytest.mark.parametrize(
    ("span", "field"),
    [
        ([], "resourceSpans[0].scopeSpans[0].spans[0]"),
        ({"traceId": "xyz"}, "spans[0].traceId"),
        ({"traceId": "abc"}, "spans[0].traceId"),
        ({"spanId": 5}, "spans[0].spanId"),
        ({"startTimeUnixNano": -1}, "spans[0].startTimeUnixNano"),
        ({"startTimeUnixNano": 1.5}, "spans[0].startTimeUnixNano"),
        ({"startTimeUnixNano": True}, "spans[0].startTimeUnixNano"),
        ({"endTimeUnixNano": 2**64}, "spans[0].endTimeUnixNano"),
        ({"endTimeUnixNano": "soon"}, "spans[0].endTimeUnixNano"),
        ({"events": {}}, "spans[0].events"),
        ({"events": [{"name": 1}]}, "spans[0].events[0].name"),
        ({"kind": "SERVER"}, "spans[0].kind"),
        ({"status": 3}, "spans[0].status"),
        ({"attributes": [{"key": "k", "value": {"intValue": 2**63}}]}, "attributes[0].value.intValue"),
        ({"attributes": [{"key": "k", "value": {"boolValue": "yes"}}]}, "attributes[0].value.boolValue"),
        ({"attributes": [{"key": "k", "value": {"doubleValue": []}}]}, "attributes[0].value.doubleValue"),
        ({"attributes": [{"key": "k", "value": {"bytesValue": "?"}}]}, "attributes[0].value.bytesValue"),
    ],
)
def test_says_where_a_span_is_wrong(span: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_json(export(span))

    assert caught.value.fields[0].field.endswith(field)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"[]", b'{"resourceSpans":5}'])
def test_refuses_what_is_no_export(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_json(body)


def test_refuses_values_nested_without_end() -> None:
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(40):
        value = {"arrayValue": {"values": [value]}}

    with pytest.raises(InvalidInput, match="nested"):
        parse_json(export({"attributes": [{"key": "k", "value": value}]}))


_NAMES = st.sampled_from(
    [
        "traceId",
        "spanId",
        "name",
        "kind",
        "status",
        "code",
        "events",
        "links",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "arrayValue",
        "kvlistValue",
        "values",
        "timeUnixNano",
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("00ff")
_DOCUMENTS = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=30
)


@given(_DOCUMENTS)
def test_any_json_is_read_or_refused_with_a_reason(document: Any) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [document]}]}]}).encode()
    try:
        parse_json(body).SerializeToString()
    except InvalidInput as error:
        assert error.message
