"""How results from threads become messages."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lepton_ai.v1 import common_pb2, preprocess_pb2
from services.preprocess import outbox as outbox_module
from services.preprocess.outbox import Outbox


def result(number: int, *, size_bytes: int = 0) -> preprocess_pb2.StreamResult:
    tensor = common_pb2.Tensor(data=bytes(size_bytes))
    item = preprocess_pb2.ItemResult(tensors=common_pb2.TensorList(tensors=[tensor]))
    return preprocess_pb2.StreamResult(id=number, result=item)


def ids(outbox: Outbox) -> list[list[int]]:
    return [[each.id for each in message.results] for message in outbox.messages()]


async def test_a_lone_result_is_handed_on_at_once() -> None:
    outbox = Outbox()
    threading.Thread(target=outbox.put, args=(result(1),)).start()
    await asyncio.wait_for(outbox.wait(), timeout=5)
    assert ids(outbox) == [[1]]


async def test_what_is_ready_together_is_one_message() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.put(result(number))
    await outbox.wait()
    assert ids(outbox) == [[0, 1, 2, 3, 4]]
    assert outbox.is_empty


async def test_messages_are_bounded_in_bytes_and_a_larger_result_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_MAX_MESSAGE_BYTES", 1000)
    outbox = Outbox()
    for number, size_bytes in enumerate((400, 400, 400, 5000, 400)):
        outbox.put(result(number, size_bytes=size_bytes))
    assert ids(outbox) == [[0, 1], [2], [3], [4]]


async def test_no_result_is_lost_or_doubled_while_threads_and_loop_run_against_each_other() -> None:
    outbox, seen = Outbox(), list[int]()

    def fill(start: int) -> None:
        for number in range(start, start + 500):
            outbox.put(result(number))

    threads = [threading.Thread(target=fill, args=(start,)) for start in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(20):
        while len(seen) < 2000:
            await outbox.wait()
            for message in ids(outbox):
                seen += message
                await asyncio.sleep(0)
    assert sorted(seen) == list(range(2000))


async def test_a_client_that_does_not_read_gets_no_more_room_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_MAX_UNSENT_BYTES", 1000)
    outbox = Outbox()
    await asyncio.wait_for(outbox.room(), timeout=5)
    outbox.put(result(1, size_bytes=2000))
    room = asyncio.create_task(outbox.room())
    await asyncio.wait({room}, timeout=0.05)
    assert not room.done()
    assert ids(outbox) == [[1]]
    await asyncio.wait_for(room, timeout=5)


async def test_after_closing_results_are_dropped() -> None:
    outbox = Outbox()
    outbox.put(result(1))
    outbox.close()
    outbox.put(result(2))
    assert outbox.is_empty
