"""A loop goes on until it is told to stop, whatever happens in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from lepton_ai.mesh.loops import run_loop
from lepton_ai.testing import eventually


class Body:
    """Meets these fates one after the other, then waits for ever."""

    def __init__(self, *fates: Callable[[], Awaitable[None]]) -> None:
        self.fates, self.calls = list(fates), 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.fates:
            await self.fates.pop(0)()
        else:
            await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("poison")


async def given_up() -> None:
    """Something else than the loop was cancelled."""
    waited_for = asyncio.get_running_loop().create_future()
    waited_for.cancel()
    await waited_for


async def end() -> None:
    """Nothing is left to do."""


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("fate", [fail, given_up])
async def test_a_loop_that_fails_is_begun_again(
    fate: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    body = Body(fate, fate)
    task = run_loop(body, name="follow the moon")
    await eventually(lambda: body.calls == 3, description="it is begun for the third time")
    assert [getattr(record, "loop", "") for record in caplog.records] == ["follow the moon"] * 2
    assert not task.done()
    await stop(task)


async def test_a_loop_that_is_cancelled_ends() -> None:
    body = Body()
    task = run_loop(body, name="x")
    await eventually(lambda: body.calls == 1, description="it runs")
    await stop(task)
    assert task.cancelled()
    assert body.calls == 1


async def test_a_loop_that_waits_to_be_begun_again_can_be_cancelled() -> None:
    body = Body(*[fail] * 100)
    task = run_loop(body, name="x")
    await eventually(lambda: body.calls == 2, description="it has failed twice")
    await stop(task)
    assert task.cancelled()


async def test_a_loop_that_has_come_to_its_end_is_over() -> None:
    body = Body(end)
    await run_loop(body, name="x")
    assert body.calls == 1


async def test_what_ended_a_loop_is_in_the_log_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        body = Body(fail, end)
        await run_loop(body, name="x")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "poison" in str(record.exc_info[1])
