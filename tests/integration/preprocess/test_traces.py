"""What a trace shows of preprocessing: one SERVER span an item under its caller, one child a step, errors marked."""

from __future__ import annotations

from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from lepton_ai.mesh.tracing import trace_context
from lepton_ai.mesh.tracing.spans import RecordedSpan
from lepton_ai.testing.spans import CapturedSpans, captured_spans
from lepton_ai.v1 import common_pb2
from tests.integration.preprocess.serving import Stream, photo, preprocess_service
from tests.integration.preprocess.test_stream import EFFICIENTNET
from tests.photos import imagenet_photos

METHOD = "lepton.v1.PreprocessService/PreprocessStream"


async def preprocess_one(captured: CapturedSpans, item: common_pb2.Item, trace: common_pb2.TraceContext) -> None:
    async with preprocess_service(tracing=captured.tracing) as served:
        stream = Stream(served.stub)
        await stream.define(EFFICIENTNET)
        await stream.send(EFFICIENTNET.digest, {1: item}, trace=trace)
        assert set(await stream.finish()) == {1}


def parent_of(span: RecordedSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


async def test_a_sampled_item_has_a_server_span_under_its_caller_and_a_child_for_every_step() -> None:
    with captured_spans() as captured:
        caller = captured.tracing.tracer.start_span("caller")
        trace = trace_context(set_span_in_context(caller))
        await preprocess_one(captured, photo(imagenet_photos()[0].read_bytes()), trace)

        (server,) = captured.named(METHOD)
        assert server.kind is SpanKind.SERVER
        assert parent_of(server) == caller.get_span_context().span_id
        assert server.attributes is not None
        assert server.attributes["lepton.pipeline.digest"] == EFFICIENTNET.digest[:12]
        assert isinstance(server.attributes["lepton.queue_ms"], float)
        assert server.attributes["rpc.response.status_code"] == "OK"
        assert server.status.status_code is StatusCode.UNSET
        steps = [span for span in captured.spans if span.parent and parent_of(span) == server.context.span_id]
        assert [span.name for span in steps] == ["decode_image", "resize+center_crop", "to_tensor"]


async def test_an_error_marks_the_step_and_the_item() -> None:
    with captured_spans() as captured:
        caller = captured.tracing.tracer.start_span("caller")
        trace = trace_context(set_span_in_context(caller))
        await preprocess_one(captured, photo(b"GIF89a is not allowed"), trace)

        (server,) = captured.named(METHOD)
        (step,) = captured.named("decode_image")
        assert server.status.status_code is step.status.status_code is StatusCode.ERROR
        assert server.attributes is not None
        assert server.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"


async def test_an_item_that_is_not_sampled_makes_no_span() -> None:
    with captured_spans() as captured:
        trace = common_pb2.TraceContext(traceparent=f"00-{'ab' * 16}-{'cd' * 8}-00")
        await preprocess_one(captured, photo(imagenet_photos()[0].read_bytes()), trace)

        assert captured.spans == ()
