"""`predict_many` over a stream that its calls share: answers and errors as of calls, also when a server leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lepton_ai import Addresses, AsyncClient
from lepton_ai.client import prediction_calls
from lepton_ai.errors import DeadlineExceeded, InvalidInput, NotFound
from lepton_ai.testing import captured_spans, eventually
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import BLUE, COLOURS, RED

STREAM = "lepton.v1.InferenceService/PredictStream"


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


def client_of(*served: ServedColours, timeout_s: float = 20) -> AsyncClient:
    return AsyncClient(Addresses(inference=",".join(each.address for each in served)), timeout_s=timeout_s)


async def test_many_examples_go_over_one_stream_and_its_messages_are_traced_as_calls_are() -> None:
    with captured_spans("inference", ratio=1.0) as captured:
        async with served_colours(tracing=captured.tracing) as served, client_of(served) as client:
            examples = [(RED, BLUE)[number % 2] for number in range(200)] + [b"no photo"]
            heard = [each async for each in client.predict_many("colours", examples)]
            spans = captured.named(STREAM)
    assert [each.labels[0].name for each in heard[:-1]] == [COLOURS[0], COLOURS[2]] * 100
    assert isinstance(heard[-1].error, InvalidInput)
    assert "lepton.v1.InferenceService/Predict" not in captured.names
    assert len(spans) >= 4, "64 rows a message"


async def test_the_error_of_a_traced_message_names_its_trace() -> None:
    with captured_spans("inference", ratio=1.0) as captured:
        async with served_colours(tracing=captured.tracing) as served, client_of(served) as client:
            await client.describe("colours")
            (prediction,) = [each async for each in client.predict_many("colours", [b"no photo"])]
            assert prediction.error is not None
            traces = {f"{span.context.trace_id:032x}" for span in captured.named(STREAM)}
    assert {prediction.error.trace_id} == traces


async def test_what_a_server_that_leaves_has_not_answered_another_one_answers(served: ServedColours) -> None:
    async with served_colours() as other, client_of(served, other) as client:
        for each in (served, other):
            each.plane.triton.compute_s = 0.02
        heard = []
        async for prediction in client.predict_many("colours", (RED for _ in range(600))):
            heard.append(prediction)
            if len(heard) == 100:
                served.draining.set()
    assert [each.error for each in heard] == [None] * 600


async def test_a_message_that_is_late_ends_in_its_own_time_and_the_stream_goes_on(served: ServedColours) -> None:
    async with client_of(served, timeout_s=0.3) as client:
        await client.describe("colours")
        served.plane.triton.compute_s = 30
        (late,) = [each async for each in client.predict_many("colours", [RED])]
        assert isinstance(late.error, DeadlineExceeded)
        served.plane.triton.compute_s = 0
        (answered,) = [each async for each in client.predict_many("colours", [RED], timeout_s=20)]
        assert answered.labels[0].name == COLOURS[0]


async def test_a_model_that_is_taken_away_is_an_error_of_each_example(served: ServedColours) -> None:
    async with client_of(served) as client:
        await client.describe("colours")
        served.plane.routes.replace({})
        heard = [each async for each in client.predict_many("colours", [RED] * 3)]
    assert [type(each.error) for each in heard] == [NotFound] * 3


async def test_a_stream_that_carries_nothing_is_ended_and_opened_again(
    served: ServedColours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_calls, "_IDLE_S", 0.01)
    async with client_of(served) as client:
        for _ in range(2):
            (answered,) = [each async for each in client.predict_many("colours", [RED])]
            assert answered.labels[0].name == COLOURS[0]
            (stream,) = client._streams._streams.values()
            await asyncio.wait_for(asyncio.wait([stream._reader]), 5)


async def test_a_client_that_is_closed_amid_messages_leaves_nothing_behind(served: ServedColours) -> None:
    served.plane.triton.compute_s = 30
    async with client_of(served) as client:
        await client.describe("colours")
        asked = asyncio.ensure_future(anext(client.predict_many("colours", [RED])))
        await eventually(lambda: served.plane.triton.requests, description="it is being worked on")
        asked.cancel()
        await asyncio.wait([asked])
    assert not [task for task in asyncio.all_tasks() if "_Stream." in repr(task)]
    async with asyncio.timeout(5):
        await served.plane.routes.models()[0].serving[2].idle()
