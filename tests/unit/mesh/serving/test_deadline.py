"""What is left of a call's time is the caller's deadline, else the server's, else the default: always finite."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from lepton_ai.errors import DeadlineExceeded
from lepton_ai.mesh.serving.deadline import given_deadline, remaining_s
from lepton_ai.mesh.serving.handlers import ServicerContext


class _Context:
    def __init__(self, left_s: float | None) -> None:
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        return self._left_s


def context(left_s: float | None) -> ServicerContext:
    return cast(ServicerContext, _Context(left_s))


async def test_the_callers_deadline_comes_first() -> None:
    async with given_deadline(60):
        assert remaining_s(context(1.5)) == 1.5
    assert remaining_s(context(-0.1)) == 0.0


async def test_then_the_one_that_the_server_gave() -> None:
    async with given_deadline(60):
        assert 59 < remaining_s(context(None)) <= 60


async def test_then_the_default() -> None:
    assert remaining_s(context(None), default_s=12) == 12


async def test_a_given_deadline_ends_the_work_and_says_how_to_get_more() -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        async with given_deadline(0.01):
            await asyncio.Event().wait()
    assert "0.01 s" in caught.value.message
    assert "deadline" in caught.value.fix


async def test_timeouts_of_the_work_itself_are_not_taken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with given_deadline(60):
            raise TimeoutError("inner")
    assert not isinstance(caught.value, DeadlineExceeded)
