"""W3C trace context: what is valid is continued with its decision, what is not is ignored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace

from lepton_ai.mesh.tracing.context import (
    EMPTY,
    context_from,
    current_trace_id,
    format_traceparent,
    grpc_metadata,
    is_traced,
    parse,
    remote_parent,
    trace_context,
)
from lepton_ai.v1 import common_pb2

_ID = "0af7651916cd43dd8448eb211c80319c"
_SAMPLED = f"00-{_ID}-b7ad6b7169203331-01"
_UNSAMPLED = f"00-{_ID}-b7ad6b7169203331-00"


@pytest.mark.parametrize("traceparent", [_SAMPLED, _UNSAMPLED])
def test_a_traceparent_survives_parsing_and_formatting(traceparent: str) -> None:
    span = parse(traceparent)
    assert span is not None
    assert format_traceparent(span) == traceparent


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "hello",
        _SAMPLED.upper(),
        f"ff-{_ID}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{_ID}-{'0' * 16}-01",
        f"{_SAMPLED}-extra",
        f"{_SAMPLED}\n",
    ],
)
def test_invalid_traceparents_are_ignored(wrong: str) -> None:
    assert parse(wrong) is None
    assert context_from(common_pb2.TraceContext(traceparent=wrong)) == EMPTY


def test_a_later_version_with_more_fields_is_understood() -> None:
    assert parse(f"01-{_ID}-b7ad6b7169203331-01-more") is not None


@given(st.text(max_size=80))
def test_no_text_makes_parsing_fail(text: str) -> None:
    assert parse(text, text) is None


def test_tracestate_travels_along() -> None:
    message = common_pb2.TraceContext(traceparent=_SAMPLED, tracestate="vendor=1,other=2")
    assert trace_context(context_from(message)) == message


def test_messages_carry_the_decision_not_to_sample() -> None:
    message = common_pb2.TraceContext(traceparent=_UNSAMPLED)
    assert trace_context(context_from(message)).traceparent == _UNSAMPLED


def test_triton_is_told_only_of_sampled_traces() -> None:
    assert grpc_metadata(context_from(common_pb2.TraceContext(traceparent=_UNSAMPLED))) == ()
    sampled = context_from(common_pb2.TraceContext(traceparent=_SAMPLED))
    assert grpc_metadata(sampled) == (("traceparent", _SAMPLED),)


def test_outside_of_any_call_there_is_no_trace() -> None:
    assert current_trace_id() is None
    assert trace_context() == common_pb2.TraceContext()


def test_the_current_trace_id_is_that_of_the_current_span() -> None:
    token = otel_context.attach(context_from(common_pb2.TraceContext(traceparent=_UNSAMPLED)))
    try:
        assert current_trace_id() == _ID
    finally:
        otel_context.detach(token)


def test_metadata_of_a_call_names_the_remote_parent() -> None:
    span = remote_parent((("user-agent", "x"), ("traceparent", _SAMPLED), ("tracestate", "a=1")))
    assert span is not None
    assert span.is_remote
    assert span.trace_state.get("a") == "1"
    assert remote_parent(()) is None
    assert remote_parent(None) is None


@pytest.mark.parametrize(
    "method",
    [
        "grpc.health.v1.Health/Check",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "lepton.v1.InferenceService/PredictStream",
    ],
)
def test_infrastructure_and_endless_streams_are_not_traced(method: str) -> None:
    assert not is_traced(method)


def test_parsed_spans_can_be_parents() -> None:
    context = context_from(common_pb2.TraceContext(traceparent=_SAMPLED))
    assert trace.get_current_span(context).get_span_context().is_valid
