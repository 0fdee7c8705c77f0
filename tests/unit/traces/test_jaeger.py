"""OTLP as Jaeger's JSON: the same names, types and shapes that Jaeger's own query service hands out."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lepton_ai.traces.exports import Encoding, accept_json
from lepton_ai.traces.jaeger import jaeger_trace
from lepton_ai.traces.stored import stored_spans
from tests.unit.traces.samples import (
    PREDICTION,
    START_US,
    TRITON_OTLP_JSON,
    TRITON_TRACE_ID,
    otlp,
    span_id,
    trace_id,
)


def converted(request: Any) -> dict[str, Any]:
    return jaeger_trace(list(stored_spans(Encoding.PROTOBUF, request.SerializeToString())))


def one_span(span: Span) -> dict[str, Any]:
    request = otlp(PREDICTION[:1])
    request.resource_spans[0].scope_spans[0].spans[0].MergeFrom(span)
    result: dict[str, Any] = converted(request)["spans"][0]
    return result


def tags_of(span: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    return {tag["key"]: (tag["type"], tag["value"]) for tag in span["tags"]}


def test_a_whole_trace_of_triton() -> None:
    export = accept_json(TRITON_OTLP_JSON.read_bytes(), max_span_bytes=10**6)
    spans = stored_spans(export.encoding, export.body)
    trace = jaeger_trace([span for span in spans if span.trace_id.hex() == TRITON_TRACE_ID])

    model = next(span for span in trace["spans"] if span["operationName"] == "echo")
    assert trace["traceID"] == TRITON_TRACE_ID
    assert trace["processes"]["p1"]["serviceName"] == "triton-inference-server"
    assert {tag["key"] for tag in trace["processes"]["p1"]["tags"]} >= {"telemetry.sdk.language"}
    assert model == {
        "traceID": TRITON_TRACE_ID,
        "spanID": "f08d5c5aacb88181",
        "operationName": "echo",
        "references": [{"refType": "CHILD_OF", "traceID": TRITON_TRACE_ID, "spanID": "569bef52f6dbe048"}],
        "startTime": 1795258201349905,
        "duration": 6878,
        "tags": [
            {"key": "otel.scope.name", "type": "string", "value": "triton-server"},
            {"key": "triton.model_name", "type": "string", "value": "echo"},
            {"key": "triton.model_version", "type": "int64", "value": 1},
            {"key": "triton.trace_id", "type": "int64", "value": 2},
            {"key": "triton.trace_parent_id", "type": "int64", "value": 0},
            {"key": "triton.request_id", "type": "string", "value": "req-1"},
            {"key": "span.kind", "type": "string", "value": "server"},
        ],
        "logs": [
            {"timestamp": 1795258201349905, "fields": [{"key": "event", "type": "string", "value": "REQUEST_START"}]},
            {"timestamp": 1795258201349967, "fields": [{"key": "event", "type": "string", "value": "QUEUE_START"}]},
            {"timestamp": 1795258201356784, "fields": [{"key": "event", "type": "string", "value": "REQUEST_END"}]},
        ],
        "processID": "p1",
        "warnings": None,
    }


def test_one_process_a_resource() -> None:
    trace = converted(otlp(PREDICTION))

    services = {key: process["serviceName"] for key, process in trace["processes"].items()}
    assert services == {"p1": "lepton-cli", "p2": "inference", "p3": "preprocess", "p4": "triton-inference-server"}
    assert trace["processes"]["p2"]["tags"] == [
        {"key": "service.instance.id", "type": "string", "value": "inference-1"}
    ]


def test_links_follow_the_parent_as_follows_from() -> None:
    batch = next(span for span in converted(otlp(PREDICTION))["spans"] if span["operationName"] == "batch")

    assert batch["references"] == [
        {"refType": "CHILD_OF", "traceID": trace_id("trace").hex(), "spanID": span_id("serve").hex()},
        {"refType": "FOLLOWS_FROM", "traceID": trace_id("other").hex(), "spanID": span_id("serve").hex()},
    ]


def test_an_error_is_three_tags() -> None:
    tags = tags_of(one_span(Span(status=Status(code=Status.STATUS_CODE_ERROR, message="broken"))))

    assert tags["otel.status_code"] == ("string", "ERROR")
    assert tags["error"] == ("bool", True)
    assert tags["otel.status_description"] == ("string", "broken")


def test_ok_is_one_tag_and_unset_none() -> None:
    ok = tags_of(one_span(Span(status=Status(code=Status.STATUS_CODE_OK))))

    assert ok["otel.status_code"] == ("string", "OK")
    assert "error" not in ok
    assert "otel.status_code" not in tags_of(one_span(Span()))


def test_every_type_of_value_survives_json() -> None:
    inner = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="猫", value=AnyValue(bytes_value=b"\0"))]))
    values = {
        "text": AnyValue(string_value="文"),
        "flag": AnyValue(bool_value=False),
        "small": AnyValue(int_value=-5),
        "large": AnyValue(int_value=2**60),
        "real": AnyValue(double_value=0.5),
        "nan": AnyValue(double_value=float("nan")),
        "bytes": AnyValue(bytes_value=b"\xff"),
        "list": AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), inner, AnyValue()])),
        "none": AnyValue(),
    }
    span = one_span(Span(attributes=[KeyValue(key=key, value=value) for key, value in values.items()]))

    tags = tags_of(json.loads(json.dumps(span, allow_nan=False)))
    assert tags["text"] == ("string", "文")
    assert tags["flag"] == ("bool", False)
    assert tags["small"] == ("int64", -5)
    assert tags["large"] == ("int64", str(2**60))
    assert tags["real"] == ("float64", 0.5)
    assert tags["nan"] == ("float64", "nan")
    assert tags["bytes"] == ("binary", "/w==")
    assert tags["list"] == ("string", '[1, {"猫": "AA=="}, null]')
    assert tags["none"] == ("string", "")


def test_a_span_that_ends_before_it_starts_says_so() -> None:
    request = otlp(PREDICTION[:1])
    request.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano = 1
    span = converted(request)["spans"][0]

    assert (span["startTime"], span["duration"]) == (START_US, 0)
    assert "before it starts" in span["warnings"][0]
