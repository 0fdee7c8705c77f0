"""A link carries so many calls at once; more wait for their turn, first come, first served, within their own time."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import grpc
import pytest

from lepton_ai.errors import DeadlineExceeded
from lepton_ai.mesh.calling.link import Link
from lepton_ai.testing import eventually


class _Channel:
    closed = False

    async def close(self) -> None:
        self.closed = True


class _Calls:
    """Calls over one link; each lasts until it is told to end."""

    def __init__(self, max_calls: int) -> None:
        self.channel = _Channel()
        self.link = Link(cast("grpc.aio.Channel", self.channel), max_calls=max_calls)
        self.begun: list[int] = []
        self._ends: dict[int, asyncio.Event] = {}

    def start(self, number: int, *, timeout_s: float = 60.0) -> asyncio.Task[None]:
        self._ends[number] = asyncio.Event()
        return asyncio.create_task(self._call(number, time.monotonic() + timeout_s))

    def end(self, number: int) -> None:
        self._ends[number].set()

    async def have_begun(self, *numbers: int) -> None:
        await eventually(lambda: self.begun == list(numbers), description=f"{numbers} have begun")

    async def _call(self, number: int, end_s: float) -> None:
        async with self.link.turn(end_s):
            self.begun.append(number)
            await self._ends[number].wait()


async def test_more_calls_than_a_connection_carries_wait_and_begin_in_their_order() -> None:
    calls = _Calls(2)
    tasks = [calls.start(number) for number in range(5)]
    await calls.have_begun(0, 1)
    calls.end(1)
    await calls.have_begun(0, 1, 2)
    for number in (0, 2, 3, 4):
        calls.end(number)
    await asyncio.gather(*tasks)
    assert calls.begun == [0, 1, 2, 3, 4]


async def test_a_call_whose_time_ends_before_its_turn_says_that_it_was_not_sent() -> None:
    calls = _Calls(1)
    holds = calls.start(0)
    await calls.have_begun(0)
    with pytest.raises(DeadlineExceeded, match="not sent") as late:
        await calls.start(1, timeout_s=0.02)
    assert late.value.reason == "NO_TURN"
    calls.end(0)
    await holds
    assert calls.begun == [0]


async def test_callers_that_leave_give_back_the_turn_they_have_or_wait_for() -> None:
    calls = _Calls(1)
    holds, waits = calls.start(0), calls.start(1)
    await calls.have_begun(0)
    for leaver in (waits, holds):
        leaver.cancel()
    await asyncio.gather(holds, waits, return_exceptions=True)
    last = calls.start(2)
    await calls.have_begun(0, 2)
    calls.end(2)
    await last


async def test_calls_that_still_wait_when_the_link_is_closed_are_cancelled() -> None:
    calls = _Calls(1)
    holds, waits = calls.start(0), calls.start(1)
    await calls.have_begun(0)
    await calls.link.close()
    calls.end(0)
    await holds
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert calls.channel.closed


async def test_a_call_that_was_given_up_keeps_its_turn_until_the_server_has_surely_cleared_it_away() -> None:
    calls = _Calls(1)
    given_up, patient = (calls.start(number) for number in range(2))
    await calls.have_begun(0)
    given_up.cancel()
    given_up_s = time.monotonic()
    await calls.have_begun(0, 1)
    assert time.monotonic() - given_up_s >= 0.09
    calls.end(1)
    await patient
    next_one = calls.start(2)
    for _ in range(3):
        await asyncio.sleep(0)
    assert calls.begun == [0, 1, 2], "one that was answered frees its turn at once"
    calls.end(2)
    await next_one
