"""The watch on Triton: what is away is waited for, what hangs is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.testing import eventually
from lepton_ai.testing.fake_triton import FakeTriton
from services.inference.triton.errors import TRITON_AWAY
from services.inference.triton.watch import TritonWatch


class Restart:
    """Counts how often it was asked to end Triton, and does so except for the first `refused` times."""

    def __init__(self, triton: FakeTriton, *, refused: int = 0) -> None:
        self._triton, self._refused, self.count = triton, refused, 0

    async def __call__(self) -> None:
        self.count += 1
        if self.count <= self._refused:
            raise FailedPrecondition("Triton was restarted just before.")
        self._triton.restart()


@asynccontextmanager
async def watching(triton: FakeTriton, restart: Callable[[], Awaitable[None]] | None) -> AsyncIterator[TritonWatch]:
    watch = TritonWatch(triton, lambda: None, interval_s=0.001, answer_timeout_s=0.002, restart=restart)
    await watch.start()
    try:
        yield watch
    finally:
        await watch.close()


async def test_a_triton_that_hangs_is_ended_and_answers_again() -> None:
    triton = FakeTriton()
    restart = Restart(triton)
    async with watching(triton, restart) as watch:
        await triton.load("model")
        triton.hang()
        await eventually(lambda: not watch.ready, description="it is not used any more")
        await eventually(lambda: watch.ready, description="it answers again")
        assert (restart.count, dict(watch.states)) == (1, {})


async def test_a_restart_that_is_refused_is_asked_for_again() -> None:
    triton = FakeTriton()
    restart = Restart(triton, refused=1)
    async with watching(triton, restart) as watch:
        triton.hang()
        await eventually(lambda: restart.count == 2, description="it was asked for twice")
        await eventually(lambda: watch.ready, description="it answers again")


async def test_a_triton_that_is_away_is_left_to_its_supervisor() -> None:
    triton = FakeTriton()
    restart = Restart(triton)
    async with watching(triton, restart) as watch:
        triton.kill()
        await eventually(lambda: not watch.ready, description="it is not used any more")
        for _ in range(50):
            await watch.refresh()
        triton.restart()
        await eventually(lambda: watch.ready, description="it answers again")
        assert (restart.count, watch.restarts) == (0, 1)


async def test_only_a_triton_that_has_lost_its_models_was_started_anew() -> None:
    triton = Unreachable()
    async with watching(triton, None) as watch:
        assert watch.restarts == 0, "it was there from the beginning"
        await triton.load("model")
        await eventually(lambda: "model" in watch.states, description="it is loaded")
        triton.is_cut_off = True
        await eventually(lambda: not watch.ready, description="nobody is there")
        triton.is_cut_off = False
        await eventually(lambda: watch.ready, description="it answers again")
        assert watch.restarts == 0
        for count in (1, 2):
            triton.kill()
            await eventually(lambda: not watch.ready, description="it died")
            triton.restart()
            await eventually(lambda: watch.ready, description="it answers again")
            assert watch.restarts == count


async def test_one_that_hung_and_was_back_before_anybody_missed_it_was_started_anew() -> None:
    triton = FakeTriton()
    async with watching(triton, None) as watch:
        await triton.load("model")
        await eventually(lambda: "model" in watch.states, description="it is loaded")
        triton.hang()
        await eventually(lambda: not watch.ready, description="it hangs")
        triton.kill()
        triton.restart()
        await eventually(lambda: watch.ready, description="it answers again")
        assert watch.restarts == 1


async def test_one_that_comes_up_late_was_not_started_anew() -> None:
    triton = FakeTriton()
    triton.kill()
    async with watching(triton, None) as watch:
        triton.restart()
        await eventually(lambda: watch.ready, description="it answers")
        assert watch.restarts == 0


async def test_without_a_way_to_end_it_a_hanging_triton_is_waited_for() -> None:
    triton = FakeTriton()
    async with watching(triton, None) as watch:
        triton.hang()
        await eventually(lambda: not watch.ready, description="it is not used any more")
        await asyncio.gather(*(watch.refresh() for _ in range(30)))
        triton.restart()
        await eventually(lambda: watch.ready, description="it answers again")


class Unreachable(FakeTriton):
    """It lives, but nobody gets through to it while told so."""

    is_cut_off = False

    async def index(self) -> Mapping[str, str]:
        if self.is_cut_off:
            raise Unavailable("Triton does not answer.", reason=TRITON_AWAY)
        return await super().index()


class Poisoned(FakeTriton):
    """Its index fails in a way that nobody expects, as often as told."""

    poison = 0

    async def index(self) -> Mapping[str, str]:
        if self.poison:
            self.poison -= 1
            raise ValueError("poison")
        return await super().index()


async def test_a_look_that_fails_unexpectedly_is_not_the_last() -> None:
    triton = Poisoned()
    async with watching(triton, None) as watch:
        triton.poison = 2
        await eventually(lambda: not triton.poison, description="it has met both")
        await triton.load("model")
        await eventually(lambda: dict(watch.states) == {"model": "READY"}, description="it sees again")


async def test_a_restart_that_fails_unexpectedly_is_asked_for_again() -> None:
    triton = FakeTriton()
    restarts = 0

    async def restart() -> None:
        nonlocal restarts
        restarts += 1
        if restarts == 1:
            raise OSError("no such process")
        triton.restart()

    async with watching(triton, restart) as watch:
        triton.hang()
        await eventually(lambda: restarts == 2 and watch.ready, description="it answers again")
