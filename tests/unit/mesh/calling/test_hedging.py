"""Hedges: when a call is slow, how many may be made twice, and what the race of two requests ends with."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import LeptonError, Unavailable
from lepton_ai.mesh.calling.hedging import HEDGED_SHARE, HedgeBudget, Hedging, UsualLatency, race

NEVER_S = 60.0


def test_a_call_is_slow_after_the_95th_percentile_of_those_before() -> None:
    usual = UsualLatency()
    for number in range(39):
        usual.observe(number / 1000)
    assert usual.delay_s is None  # too few are known
    for number in range(39, 100):
        usual.observe(number / 1000)
    assert usual.delay_s == pytest.approx(0.095, abs=0.001)


def test_what_is_usual_is_learnt_again_when_it_changes() -> None:
    usual = UsualLatency()
    for latency_s in [1.0] * 200 + [0.01] * 200:
        usual.observe(latency_s)
    assert usual.delay_s == 0.01


def test_kinds_of_calls_have_latencies_of_their_own_and_a_bounded_number_is_kept() -> None:
    hedging = Hedging()
    first = hedging.of("kept")
    for number in range(1000):
        hedging.of(str(number))
        assert hedging.of("kept") is first
    assert len(hedging._kinds) == 256


@given(wishes=st.lists(st.booleans(), max_size=2000))
def test_over_any_window_at_most_a_twentieth_is_hedged(wishes: list[bool]) -> None:
    budget = HedgeBudget()
    hedged = [0]
    for wish in wishes:
        budget.deposit()
        hedged.append(hedged[-1] + (wish and budget.withdraw()))
    for begin in range(0, len(hedged), 50):
        for end in range(begin, len(hedged), 50):
            assert hedged[end] - hedged[begin] <= HEDGED_SHARE * (end - begin) + 5
    assert all(count <= HEDGED_SHARE * calls + 1e-9 for calls, count in enumerate(hedged))


def test_a_twentieth_is_really_hedged() -> None:
    budget = HedgeBudget()
    count = 0
    for _ in range(1000):
        budget.deposit()
        count += budget.withdraw()
    assert 45 <= count <= 50


class Request:
    """Answers with its name after a while, or fails."""

    def __init__(self, name: str, delay_s: float, error: LeptonError | None = None) -> None:
        self.name, self.delay_s, self.error = name, delay_s, error
        self.ran = self.was_overtaken = self.was_abandoned = self.was_cancelled = False

    async def run(self) -> str:
        self.ran = True
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.error is not None:
            raise self.error
        return self.name

    def overtaken(self) -> None:
        self.was_overtaken = True

    def abandoned(self) -> None:
        self.was_abandoned = True


async def test_a_quick_call_is_made_once() -> None:
    first, second = Request("first", 0), Request("second", 0)
    assert await race(first, lambda: second, 5.0) == "first"
    assert not second.ran


async def test_of_a_slow_call_the_second_request_answers_and_the_first_is_cancelled() -> None:
    first, second = Request("first", NEVER_S), Request("second", 0)
    assert await race(first, lambda: second, 0.01) == "second"
    assert (first.was_overtaken, first.was_cancelled) == (True, True)


async def test_when_the_first_answers_after_all_the_second_is_cancelled() -> None:
    first, second = Request("first", 0.05), Request("second", NEVER_S)
    assert await race(first, lambda: second, 0.01) == "first"
    await asyncio.sleep(0)
    assert (second.was_abandoned, second.was_cancelled, first.was_overtaken) == (True, True, False)


async def test_where_no_second_request_may_be_made_the_first_is_awaited() -> None:
    assert await race(Request("first", 0.03), lambda: None, 0.01) == "first"


async def test_one_that_fails_is_made_good_by_the_other() -> None:
    down = Unavailable("Down.")
    assert await race(Request("first", 0.02, down), lambda: Request("second", 0.04), 0.01) == "second"
    assert await race(Request("first", 0.04), lambda: Request("second", 0, down), 0.01) == "first"


async def test_when_both_fail_the_first_ones_error_is_raised() -> None:
    first, second = Request("", 0.02, Unavailable("First.")), Request("", 0.03, Unavailable("Second."))
    with pytest.raises(Unavailable, match="First"):
        await race(first, lambda: second, 0.01)


async def test_who_gives_up_cancels_both() -> None:
    first, second = Request("first", NEVER_S), Request("second", NEVER_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await race(first, lambda: second, 0.01)
    await asyncio.sleep(0)
    assert (first.was_cancelled, second.was_cancelled) == (True, True)
