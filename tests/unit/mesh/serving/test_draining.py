"""until_set ends a stream of requests when told, and never in the middle of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.testing import eventually


async def from_queue(queue: asyncio.Queue[int | None]) -> AsyncIterator[int]:
    while (item := await queue.get()) is not None:
        yield item


async def collect(queue: asyncio.Queue[int | None], stop: asyncio.Event, seen: list[int]) -> str:
    async for item in until_set(from_queue(queue), stop):
        seen.append(item)  # noqa: PERF401 - the test looks at it meanwhile
    return "ended"


async def test_requests_pass_until_they_end() -> None:
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    for item in (1, 2, None):
        queue.put_nowait(item)
    seen: list[int] = []
    assert await collect(queue, asyncio.Event(), seen) == "ended"
    assert seen == [1, 2]


async def test_a_wait_for_the_next_request_is_interrupted() -> None:
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    queue.put_nowait(1)
    stop, seen = asyncio.Event(), list[int]()
    task = asyncio.create_task(collect(queue, stop, seen))
    await eventually(lambda: seen == [1], description="the first request was read")
    stop.set()
    assert await asyncio.wait_for(task, 1) == "ended"
    assert task.cancelling() == 0


async def test_work_on_a_request_is_not_interrupted() -> None:
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    queue.put_nowait(1)
    stop, go_on, working = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle() -> str:
        async for _ in until_set(from_queue(queue), stop):
            working.set()
            await go_on.wait()
        return "finished"

    task = asyncio.create_task(handle())
    await working.wait()
    stop.set()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    assert await asyncio.wait_for(task, 1) == "finished"


async def test_after_the_stop_nothing_is_read() -> None:
    queue: asyncio.Queue[int | None] = asyncio.Queue()
    queue.put_nowait(1)
    stop, seen = asyncio.Event(), list[int]()
    stop.set()
    assert await collect(queue, stop, seen) == "ended"
    assert seen == []


async def test_a_real_cancellation_stays_one() -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(collect(asyncio.Queue(), stop, []))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_wins_over_the_stop_when_both_come_at_once() -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(collect(asyncio.Queue(), stop, []))
    await asyncio.sleep(0)
    stop.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
