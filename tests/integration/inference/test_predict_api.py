"""lepton.v1.InferenceService over a real connection: errors, traces, streams, draining."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from lepton_ai.errors import DeadlineExceeded, InvalidInput
from lepton_ai.mesh.errors import from_rpc_error, from_status
from lepton_ai.mesh.tracing.context import TRACEPARENT
from lepton_ai.testing import captured_spans, eventually
from lepton_ai.v1 import common_pb2, inference_pb2
from lepton_ai.v1.inference_pb2_grpc import InferenceServiceStub
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import BLUE, COLOURS, RED, item

MODEL = common_pb2.ModelRef(name="colours")
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


def request(data: bytes = RED, request_id: str = "") -> inference_pb2.PredictRequest:
    return inference_pb2.PredictRequest(model=MODEL, items=[item(data)], request_id=request_id)


def message(data: bytes = RED, request_id: str = "", **fields: Any) -> inference_pb2.PredictStreamRequest:
    return inference_pb2.PredictStreamRequest(request=request(data, request_id), **fields)


async def test_a_photo_becomes_a_label(served: ServedColours) -> None:
    response = await InferenceServiceStub(served.channel).Predict(request(BLUE))
    assert response.predictions[0].classification.labels[0].name == COLOURS[2]


async def test_errors_carry_code_reason_field_and_fix(served: ServedColours) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await InferenceServiceStub(served.channel).Predict(request(b""))
    error = from_rpc_error(failure.value)
    assert isinstance(error, InvalidInput)
    assert error.fields[0].field == "items[0].inputs.photo"
    assert error.fix


async def test_the_callers_trace_goes_through_every_stage_into_triton() -> None:
    with captured_spans("inference", ratio=0.0) as captured:
        async with served_colours(tracing=captured.tracing) as served:
            call = InferenceServiceStub(served.channel).Predict(request(), metadata=((TRACEPARENT, SAMPLED),))
            await call
            assert dict(await call.trailing_metadata())["lepton-trace-id"] == TRACE_ID
            (server,) = await captured.wait_for("lepton.v1.InferenceService/Predict")
            assert {"queue", "compute", "batch", "inference.GRPCInferenceService/ModelInfer"} < set(captured.names)
            assert {f"{span.context.trace_id:032x}" for span in captured.spans} == {TRACE_ID}
            assert server.attributes is not None
            assert server.attributes["lepton.model.name"] == "colours"
            assert server.attributes["lepton.model.version"] == 2
            assert server.attributes["lepton.model.alias"] == "production"
            assert TRACE_ID in served.plane.triton.request_metadata[0][TRACEPARENT]


async def test_triton_hears_nothing_of_calls_that_are_not_sampled() -> None:
    with captured_spans("inference", ratio=0.0) as captured:
        async with served_colours(tracing=captured.tracing) as served:
            unsampled = SAMPLED.removesuffix("01") + "00"
            await InferenceServiceStub(served.channel).Predict(request(), metadata=((TRACEPARENT, unsampled),))
            assert served.plane.triton.request_metadata == [{}]
            assert captured.spans == ()


async def test_a_stream_answers_each_message_by_its_id(served: ServedColours) -> None:
    call = InferenceServiceStub(served.channel).PredictStream()
    for number in range(40):
        await call.write(message((RED, BLUE)[number % 2], f"id-{number}"))
    await call.done_writing()
    answers = {answer.request_id: answer.response async for answer in call}
    assert len(answers) == 40
    for number in range(40):
        label = answers[f"id-{number}"].predictions[0].classification.labels[0].name
        assert label == COLOURS[(0, 2)[number % 2]]


def together(*messages: inference_pb2.PredictStreamRequest) -> inference_pb2.PredictStreamRequest:
    return inference_pb2.PredictStreamRequest(requests=messages)


async def test_requests_that_come_in_one_message_are_answered_each_by_its_id_and_together(
    served: ServedColours,
) -> None:
    call = InferenceServiceStub(served.channel).PredictStream()
    await call.write(together(*(message((RED, BLUE)[number % 2], f"id-{number}") for number in range(12))))
    await call.write(together(message(b"not an image", "bad"), message(RED, ""), together(message(RED, "nested"))))
    await call.write(message(RED, "alone"))
    await call.done_writing()
    messages = [each async for each in call]
    assert all(each.responses and not each.request_id for each in messages)
    assert len(messages) < 10
    answers = [answer for each in messages for answer in each.responses]
    assert len(answers) == 16
    by_id = {answer.request_id: answer for answer in answers}
    for number in range(12):
        label = by_id[f"id-{number}"].response.predictions[0].classification.labels[0].name
        assert label == COLOURS[(0, 2)[number % 2]]
    assert by_id["alone"].HasField("response")
    assert isinstance(from_status(by_id["bad"].error), InvalidInput)
    fields = {from_status(each.error).fields[0].field for each in answers if each.request_id == ""}
    assert fields == {"request.request_id", "requests"}


async def test_requests_in_one_message_wait_for_their_places_like_those_in_many() -> None:
    async with served_colours(max_in_flight=4) as served:
        served.plane.triton.compute_s = 0.01
        call = InferenceServiceStub(served.channel).PredictStream()
        await call.write(together(*(message(RED, f"id-{number}") for number in range(30))))
        await call.done_writing()
        assert len([answer async for each in call for answer in each.responses]) == 30
        assert max(request.inputs[0].shape[0] for request in served.plane.triton.requests) <= 4


async def test_a_fast_message_overtakes_a_slow_one(served: ServedColours) -> None:
    served.plane.triton.compute_s = 0.5
    call = InferenceServiceStub(served.channel).PredictStream()
    await call.write(message(RED, "slow"))
    await call.write(message(b"not an image", "fast"))
    answers: AsyncIterator[inference_pb2.PredictStreamResponse] = aiter(call)
    first, second = await anext(answers), await anext(answers)
    assert (first.request_id, second.request_id) == ("fast", "slow")
    assert isinstance(from_status(first.error), InvalidInput)
    assert second.WhichOneof("outcome") == "response"
    call.cancel()


@pytest.mark.parametrize("request_id", ["", "twice"])
async def test_ids_must_be_set_and_unique(served: ServedColours, request_id: str) -> None:
    served.plane.triton.compute_s = 0.3
    call = InferenceServiceStub(served.channel).PredictStream()
    for _ in range(2):
        await call.write(message(RED, request_id))
    await call.done_writing()
    answers = [answer async for answer in call]
    errors = [from_status(each.error) for each in answers if each.HasField("error")]
    assert len(answers) == 2
    assert len(errors) == (2 if not request_id else 1)
    assert errors[0].fields[0].field == "request.request_id"


async def test_messages_have_deadlines_of_their_own(served: ServedColours) -> None:
    served.plane.triton.compute_s = 30.0
    call = InferenceServiceStub(served.channel).PredictStream()
    await call.write(message(RED, "late", timeout_us=50_000))
    answers: AsyncIterator[inference_pb2.PredictStreamResponse] = aiter(call)
    answer = await anext(answers)
    assert isinstance(from_status(answer.error), DeadlineExceeded)
    call.cancel()


async def test_messages_have_traces_of_their_own() -> None:
    with captured_spans("inference", ratio=0.0) as captured:
        async with served_colours(tracing=captured.tracing) as served:
            call = InferenceServiceStub(served.channel).PredictStream()
            await call.write(message(RED, "traced", trace=common_pb2.TraceContext(traceparent=SAMPLED)))
            await call.write(message(RED, "untraced"))
            await call.write(message(b"bad", "broken", trace=common_pb2.TraceContext(traceparent=SAMPLED)))
            await call.done_writing()
            answers = {answer.request_id: answer.trace_id async for answer in call}
            assert answers == {"traced": TRACE_ID, "untraced": "", "broken": TRACE_ID}
            spans = captured.named("lepton.v1.InferenceService/PredictStream")
            assert [span.kind.name for span in spans] == ["SERVER", "SERVER"]
            assert all(f"{span.context.trace_id:032x}" == TRACE_ID for span in captured.spans)
            codes = sorted(str((span.attributes or {})["rpc.response.status_code"]) for span in spans)
            assert codes == ["INVALID_ARGUMENT", "OK"]


async def test_a_client_that_sends_too_fast_is_slowed_down_not_buffered() -> None:
    async with served_colours(max_in_flight=4) as served:
        served.plane.triton.compute_s = 0.01
        call = InferenceServiceStub(served.channel).PredictStream()
        for number in range(30):
            await call.write(message(RED, f"id-{number}"))
        await call.done_writing()
        assert len([answer async for answer in call]) == 30
        assert max(request.inputs[0].shape[0] for request in served.plane.triton.requests) <= 4


async def test_streams_that_nobody_reads_leave_room_for_other_calls() -> None:
    async with served_colours(max_in_flight=64, max_stream_rows=4) as served:
        served.plane.triton.compute_s = 0.02
        streams = [InferenceServiceStub(served.channel).PredictStream() for _ in range(5)]
        for number in range(40):
            for call in streams:
                await call.write(message(RED, f"id-{number}"))
        answer = await InferenceServiceStub(served.channel).Predict(request(BLUE), timeout=20)
        assert answer.predictions[0].classification.labels[0].name == COLOURS[2]
        rows = [request.inputs[0].shape[0] for request in served.plane.triton.requests]
        assert max(rows) <= 4 + 1, "four of all streams, and the other call"
        for call in streams:
            call.cancel()


async def test_draining_answers_what_was_read_and_ends_the_stream(served: ServedColours) -> None:
    served.plane.triton.compute_s = 0.2
    call = InferenceServiceStub(served.channel).PredictStream()
    await call.write(message(RED, "in flight"))
    await eventually(lambda: served.plane.triton.requests, description="the message is being worked on")
    served.draining.set()
    async with asyncio.timeout(5):
        answers = [answer async for answer in call]
    assert [answer.request_id for answer in answers] == ["in flight"]
    assert await call.code() is grpc.StatusCode.OK


async def test_a_client_that_leaves_a_stream_stops_its_work(served: ServedColours) -> None:
    served.plane.triton.compute_s = 30.0
    call = InferenceServiceStub(served.channel).PredictStream()
    await call.write(message(RED, "given up"))
    await eventually(lambda: served.plane.triton.requests, description="the message is being worked on")
    call.cancel()
    (loaded,) = [each for each in served.plane.routes.models()[0].serving.values() if each.version == 2]
    async with asyncio.timeout(5):
        await loaded.idle()
