"""Calls to Triton outlive those who wait for them."""

from __future__ import annotations

import asyncio

import pytest

from lepton_ai.errors import DeadlineExceeded, InternalError
from services.inference.triton.open_calls import OpenCalls


class SlowCall:
    """Answers when told to, and notes whether it was cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.cancelled = False
        self._error = error

    async def run(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self._error is not None:
            raise self._error
        return "answer"


async def test_an_answer_in_time_is_handed_on() -> None:
    calls, call = OpenCalls(), SlowCall()
    call.gate.set()
    assert await calls.answer(call.run(), timeout_s=5) == "answer"
    assert len(calls) == 0


async def test_an_error_in_time_is_raised() -> None:
    calls, call = OpenCalls(), SlowCall(InternalError("no"))
    call.gate.set()
    with pytest.raises(InternalError, match="no"):
        await calls.answer(call.run(), timeout_s=5)


async def test_a_call_goes_on_when_its_callers_time_is_over() -> None:
    calls, call = OpenCalls(), SlowCall()
    with pytest.raises(DeadlineExceeded):
        await calls.answer(call.run(), timeout_s=0.001)
    assert (len(calls), call.cancelled) == (1, False)
    call.gate.set()
    assert await calls.all_answered(timeout_s=5)
    assert (len(calls), call.cancelled) == (0, False)


async def test_a_call_goes_on_when_its_caller_is_cancelled_and_nobody_is_told_how_it_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, call = OpenCalls(), SlowCall(InternalError("late"))
    caller = asyncio.ensure_future(calls.answer(call.run(), timeout_s=5))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (len(calls), call.cancelled) == (1, False)
    call.gate.set()
    assert await calls.all_answered(timeout_s=5)
    assert not caplog.records


async def test_waiting_for_all_of_them_has_an_end() -> None:
    calls, call = OpenCalls(), SlowCall()
    with pytest.raises(DeadlineExceeded):
        await calls.answer(call.run(), timeout_s=0.001)
    assert not await calls.all_answered(timeout_s=0.001)
    call.gate.set()
    assert await calls.all_answered(timeout_s=5)
