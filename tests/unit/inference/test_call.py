"""Work that is done side by side for one call: all of it, or the first error with nothing left running."""

from __future__ import annotations

import asyncio

import pytest

from lepton_ai.errors import Unavailable
from services.inference.call import gather_all


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def fail() -> int:
    await asyncio.sleep(0)
    raise Unavailable("gone")


async def test_results_come_in_the_order_of_the_work() -> None:
    assert await gather_all([answer(1), answer(2)]) == [1, 2]


async def test_the_first_error_is_raised_and_ends_the_rest() -> None:
    ended = asyncio.Event()

    async def wait() -> int:
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Unavailable):
        await gather_all([wait(), fail()])
    assert ended.is_set()


async def test_after_an_error_the_caller_does_not_take_itself_for_cancelled() -> None:
    """Else the server would send no answer at all, and its client would wait until the deadline."""
    with pytest.raises(Unavailable):
        await gather_all([answer(1), fail(), fail()])
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancelling_the_caller_cancels_the_work() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> int:
        began.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(gather_all([wait()]))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
