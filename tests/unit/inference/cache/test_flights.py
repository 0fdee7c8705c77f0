"""Single flight: one computation for all who ask at the same time, as long as one of them waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from lepton_ai.errors import DeadlineExceeded, InternalError, LeptonError
from lepton_ai.mesh.tracing.context import EMPTY
from services.inference.cache.flights import Flights
from services.inference.call import Call, Priority

KEY = b"k"


def call(timeout_s: float = 5.0, priority: Priority = Priority.LIVE) -> Call:
    return Call.arrive(timeout_s=timeout_s, context=EMPTY, priority=priority)


class Work:
    """A computation that waits to be let go, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.go = asyncio.Event()
        self.cancelled = 0
        self.error: LeptonError | None = None

    async def __call__(self, call: Call) -> Sequence[str | LeptonError]:
        self.calls.append(call)
        try:
            async with call.bounded():
                await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return ["value"]


async def ask(flights: Flights[str], work: Work, call: Call) -> str | LeptonError:
    """What a caller does."""
    flight = flights.find(KEY, call) or flights.begin((KEY,), call, work)
    flight.board(call)
    try:
        async with call.bounded():
            return await flight.land(KEY)
    finally:
        flight.leave()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_callers_cost_one_computation() -> None:
    flights, work = Flights[str](), Work()
    callers = [asyncio.create_task(ask(flights, work, call())) for _ in range(20)]
    await settled()
    work.go.set()
    assert await asyncio.gather(*callers) == ["value"] * 20
    assert len(work.calls) == 1
    assert len(flights) == 0


async def test_who_asks_first_may_leave_without_harm_to_the_others() -> None:
    flights, work = Flights[str](), Work()
    first, second = (asyncio.create_task(ask(flights, work, call())) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    work.go.set()
    assert await second == "value"
    assert first.cancelled()
    assert (len(work.calls), work.cancelled) == (1, 0)


async def test_when_nobody_waits_any_more_the_work_ends_and_nobody_joins_it() -> None:
    flights, work = Flights[str](), Work()
    callers = [asyncio.create_task(ask(flights, work, call())) for _ in range(2)]
    await settled()
    for caller in callers:
        caller.cancel()
    late = asyncio.create_task(ask(flights, work, call()))
    await settled()
    work.go.set()
    assert await late == "value"
    assert (len(work.calls), work.cancelled) == (2, 1)


async def test_the_most_patient_caller_decides_how_long_it_may_take() -> None:
    flights, work = Flights[str](), Work()
    hasty = asyncio.create_task(ask(flights, work, call(timeout_s=0.05)))
    await settled()
    patient = asyncio.create_task(ask(flights, work, call(timeout_s=30.0)))
    with pytest.raises(DeadlineExceeded):
        await hasty
    work.go.set()
    assert await patient == "value"


async def test_an_error_is_everybodys_and_nobody_gets_it_later() -> None:
    flights, work = Flights[str](), Work()
    work.error = InternalError("broken")
    callers = [asyncio.create_task(ask(flights, work, call())) for _ in range(3)]
    await settled()
    work.go.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in errors] == [InternalError] * 3
    work.error = None
    assert await ask(flights, work, call()) == "value"


async def test_an_urgent_caller_does_not_wait_for_bulk_work() -> None:
    flights, work = Flights[str](), Work()
    bulk = asyncio.create_task(ask(flights, work, call(priority=Priority.BULK)))
    await settled()
    urgent = asyncio.create_task(ask(flights, work, call()))
    also_bulk = asyncio.create_task(ask(flights, work, call(priority=Priority.BULK)))
    await settled()
    work.go.set()
    await asyncio.gather(bulk, urgent, also_bulk)
    assert [each.priority for each in work.calls] == [Priority.BULK, Priority.LIVE]
