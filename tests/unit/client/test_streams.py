"""Streams: answers in order, bounded memory, errors in their places, a clean end whoever stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from lepton_ai.client.batches import CALLS_AT_ONCE, ROWS_A_CALL, Given, all_failed
from lepton_ai.client.streams import answers_of, predictions_of
from lepton_ai.errors import NotFound
from lepton_ai.prediction import Answer, Prediction

WINDOW = (CALLS_AT_ONCE + 2) * ROWS_A_CALL


def echoed(batch: Sequence[Given]) -> Answer:
    """An answer whose predictions say what was asked."""
    return all_failed("m", [NotFound(str(each)) for each in batch])


def said(prediction: Prediction) -> str:
    assert prediction.error is not None
    return prediction.error.message


class Source:
    """Counts what is taken from it."""

    def __init__(self, count: int, fault_at: int | None = None) -> None:
        self.taken = 0
        self._count, self._fault_at = count, fault_at

    def __iter__(self) -> Iterator[Any]:
        for number in range(self._count):
            if number == self._fault_at:
                raise ZeroDivisionError
            self.taken += 1
            yield number

    async def asynchronous(self) -> AsyncIterator[Any]:
        for number in self:
            await asyncio.sleep(0)
            yield number


async def echoed_later(batch: Sequence[Given]) -> Answer:
    await asyncio.sleep(0)
    return echoed(batch)


SOURCES: dict[str, Callable[[Source], Any]] = {
    "iterator": iter, "list": list, "asynchronous": Source.asynchronous,
}  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
async def test_answers_come_in_the_order_of_the_examples(kind: str) -> None:
    stream = predictions_of(SOURCES[kind](Source(1000)), echoed_later)
    assert [said(each) async for each in stream] == [str(number) for number in range(1000)]


@pytest.mark.parametrize("kind", ["iterator", "list"])
def test_answers_to_code_that_blocks_come_in_order(kind: str) -> None:
    answers = answers_of(SOURCES[kind](Source(1000)), echoed)
    assert [said(each) for answer in answers for each in answer.predictions] == [str(number) for number in range(1000)]


async def test_no_more_is_read_than_calls_are_under_way() -> None:
    source = Source(100_000)
    async with aclosing(predictions_of(iter(source), echoed_later)) as stream:
        for read in range(2000):
            await anext(stream)
            assert source.taken - read <= WINDOW


def test_no_more_is_read_than_threads_work_on() -> None:
    source = Source(100_000)
    read = 0
    for answer in answers_of(iter(source), echoed):
        assert source.taken - read <= WINDOW
        read += len(answer.predictions)
        if read > 2000:
            break


async def test_an_error_of_the_iterable_comes_after_the_answers_to_what_was_before_it() -> None:
    for kind in ("iterator", "asynchronous"):
        heard = []
        with pytest.raises(ZeroDivisionError):
            async for each in predictions_of(SOURCES[kind](Source(300, fault_at=200)), echoed_later):
                heard += [said(each)]
        assert len(heard) == 200
    heard = []
    with pytest.raises(ZeroDivisionError):
        for answer in answers_of(iter(Source(300, fault_at=200)), echoed):
            heard += [said(each) for each in answer.predictions]
    assert len(heard) == 200


async def test_calls_under_way_are_cancelled_when_nobody_reads_on() -> None:
    cancelled, begun = 0, asyncio.Event()

    async def never(batch: Sequence[Given]) -> Answer:
        nonlocal cancelled
        if 0 in batch:
            return echoed(batch)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1
        raise AssertionError

    async with aclosing(predictions_of(iter(Source(10_000)), never)) as stream:
        await anext(stream)
        next_one = asyncio.ensure_future(anext(stream))
        await asyncio.wait_for(begun.wait(), 10)
        next_one.cancel()
        await asyncio.wait([next_one])
    assert cancelled > 0
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_threads_end_when_nobody_reads_on() -> None:
    answers = answers_of(iter(Source(10_000)), echoed)
    next(answers)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lepton-stream")]


async def test_a_caller_may_wait_for_each_answer_before_it_gives_the_next_example() -> None:
    answered = asyncio.Event()

    async def asked() -> AsyncIterator[Any]:
        for number in range(3):
            yield number
            await asyncio.wait_for(answered.wait(), 10)
            answered.clear()

    heard = []
    async for each in predictions_of(asked(), echoed_later):
        heard.append(said(each))
        answered.set()
    assert heard == ["0", "1", "2"]
