"""Streams take no more of a replica than they may, and hold no more unread answers."""

from __future__ import annotations

import asyncio

from lepton_ai.testing import eventually
from lepton_ai.v1 import inference_pb2
from services.inference.api.responses import join_answers
from services.inference.backpressure import Outbox, StreamRoom


async def test_room_is_given_in_turn_and_a_large_message_is_not_overtaken_for_ever() -> None:
    room, order = StreamRoom(10), []

    async def work(name: str, rows: int) -> None:
        taken = await room.take(rows)
        order.append(name)
        await asyncio.sleep(0)
        room.give_back(taken)

    first = await room.take(6)
    tasks = [asyncio.ensure_future(work(*each)) for each in (("large", 8), ("small", 1))]
    await asyncio.sleep(0.01)
    assert order == [], "the small one waits behind the large one"
    room.give_back(first)
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


async def test_a_message_of_more_rows_than_there_is_room_for_takes_all_of_it() -> None:
    room = StreamRoom(10)
    taken = await room.take(1000)
    waiting = asyncio.ensure_future(room.take(0))
    await asyncio.sleep(0)
    assert (taken, waiting.done()) == (10, False)
    room.give_back(taken)
    assert await waiting == 1, "even an empty message takes some"


async def test_who_gives_up_waiting_for_room_leaves_it_to_the_next() -> None:
    room = StreamRoom(4)
    taken = await room.take(4)
    given_up, patient = (asyncio.ensure_future(room.take(2)) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    room.give_back(taken)
    assert await patient == 2


def answer(size_bytes: int, text: str = "x") -> bytes:
    return inference_pb2.PredictStreamResponse(request_id=text * size_bytes).SerializeToString()


async def test_unread_answers_keep_further_messages_waiting_by_number_and_by_size() -> None:
    for outbox, sizes in (
        (Outbox(max_messages=2, max_bytes=1 << 20), (1, 1)),
        (Outbox(max_messages=99, max_bytes=1000), (1200,)),
    ):
        for size in sizes:
            await outbox.place()
            outbox.put(answer(size))
        further = asyncio.ensure_future(outbox.place())
        await asyncio.sleep(0.01)
        assert not further.done()
        assert await outbox.get() is not None
        await eventually(further.done, description="there is a place again")


async def test_the_last_answer_is_followed_by_none() -> None:
    outbox = Outbox(max_messages=2, max_bytes=1000)
    await outbox.place()
    outbox.put(answer(1))
    outbox.end()
    assert await outbox.get() == answer(1)
    assert await outbox.get() is None


def ids(message: bytes | None) -> list[str]:
    assert message is not None
    joined = inference_pb2.PredictStreamResponse.FromString(message)
    assert not joined.request_id
    return [each.request_id for each in joined.responses]


async def test_answers_that_wait_for_a_client_that_takes_several_travel_together() -> None:
    outbox = Outbox(max_messages=300, max_bytes=1 << 20)
    outbox.join = join_answers
    for number in range(300):
        await outbox.place()
        outbox.put(answer(1, str(number)))
    assert ids(await outbox.get()) == [str(number) for number in range(300)]
    await outbox.place()
    outbox.put(answer(200, "alone"))
    assert ids(await outbox.get()) == ["alone" * 200]


async def test_joined_answers_stay_far_below_what_clients_take_in_one_message() -> None:
    outbox = Outbox(max_messages=99, max_bytes=99 << 20)
    outbox.join = join_answers
    for size in (600_000, 600_000, 5_000_000, 1, 1):
        outbox.put(answer(size))
    assert [len(ids(await outbox.get())) for _ in range(4)] == [1, 1, 1, 2]
