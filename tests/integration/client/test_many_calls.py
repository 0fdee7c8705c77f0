"""However many calls one client makes at once, a healthy platform answers all of them, on a real server's limits."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lepton_ai import Addresses, AsyncClient, Client
from lepton_ai.errors import FailedPrecondition, LeptonError
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import COLOURS, RED

LIMIT_S = 120.0
ALL_RED = {COLOURS[0]}


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


async def test_two_thousand_calls_of_an_asyncio_client_are_all_answered(served: ServedColours) -> None:
    async with AsyncClient(Addresses(inference=served.address), timeout_s=LIMIT_S) as client:
        predictions = await asyncio.gather(*(client.predict("colours", RED) for _ in range(2000)))
    assert {each.labels[0].name for each in predictions} == ALL_RED


async def test_two_hundred_threads_with_one_client_are_all_answered(served: ServedColours) -> None:
    loop = asyncio.get_running_loop()
    with (
        Client(Addresses(inference=served.address), timeout_s=LIMIT_S) as client,
        ThreadPoolExecutor(200) as threads,
    ):
        work = (loop.run_in_executor(threads, client.predict, "colours", RED) for _ in range(1000))
        predictions = await asyncio.gather(*work)
    assert {each.labels[0].name for each in predictions} == ALL_RED


async def test_patient_calls_are_answered_beside_those_of_the_same_client_that_give_up_at_once(
    served: ServedColours,
) -> None:
    served.plane.triton.compute_s = 0.02
    given_up: Counter[str] = Counter()
    async with AsyncClient(Addresses(inference=served.address), timeout_s=LIMIT_S) as client:
        answered = False

        async def give_up() -> None:
            while not answered:
                try:
                    await client.predict("colours", RED, timeout_s=random.choice((0.0005, 0.001, 0.002, 0.004)))
                except LeptonError as error:
                    given_up[error.reason] += 1
                await asyncio.sleep(0)

        impatient = [asyncio.ensure_future(give_up()) for _ in range(64)]
        predictions = [await client.predict("colours", RED) for _ in range(20)]
        answered = True
        await asyncio.gather(*impatient)
    assert {each.labels[0].name for each in predictions} == ALL_RED
    assert given_up["TOO_MANY_CALLS"] == 0, (
        "the server has refused none: it counts those that were given up for a while"
    )
    assert given_up["DEADLINE_EXCEEDED"] > 100


async def test_when_a_client_was_closed_amid_calls_all_of_them_have_ended(served: ServedColours) -> None:
    async with AsyncClient(Addresses(inference=served.address)) as client:
        await client.predict("colours", RED)
        calls = [asyncio.ensure_future(client.predict("colours", RED)) for _ in range(500)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert all(call.done() for call in calls), "what ends later finds its loop closed, and says so in the log"
    assert {each.labels[0].name for each in (call.result() for call in calls if not call.cancelled())} == ALL_RED


async def test_when_another_thread_closes_a_client_its_calls_end_with_an_error_that_says_so(
    served: ServedColours,
) -> None:
    client = Client(Addresses(inference=served.address), timeout_s=LIMIT_S)
    loop, is_calling = asyncio.get_running_loop(), asyncio.Event()

    def call_until_closed() -> None:
        while True:
            assert client.predict("colours", RED).labels[0].name in ALL_RED
            loop.call_soon_threadsafe(is_calling.set)

    with ThreadPoolExecutor(9) as threads:
        callers = [loop.run_in_executor(threads, call_until_closed) for _ in range(8)]
        await is_calling.wait()
        await loop.run_in_executor(threads, client.close)
        ends = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)
    assert {type(end) for end in ends} == {FailedPrecondition}
