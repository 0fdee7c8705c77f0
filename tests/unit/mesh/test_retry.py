"""The retry budget bounds extra load; the backoff grows, has a ceiling and is never zero."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.mesh.retry import MAX_ATTEMPTS, RetryBudget, backoff_s, pause_before_retry


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(attempt=st.integers(1, 100_000), dice=st.floats(0, 1, exclude_max=True))
def test_backoff_lies_between_half_of_and_the_whole_ceiling(attempt: int, dice: float) -> None:
    ceiling_s = min(60.0, 2.0 ** min(attempt - 1, 64))
    assert ceiling_s / 2 <= backoff_s(attempt, base_s=1.0, max_s=60.0, uniform=lambda: dice) <= ceiling_s


def test_backoff_doubles() -> None:
    waits_s = [backoff_s(attempt, base_s=0.1, max_s=1.0, uniform=lambda: 1.0) for attempt in range(1, 7)]
    assert waits_s == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_three_retries_are_always_there() -> None:
    budget = RetryBudget(clock=Clock())
    assert [budget.withdraw() for _ in range(4)] == [True, True, True, False]


def test_the_reserve_refills_in_ten_seconds() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    while budget.withdraw():
        pass
    clock.now_s += 10.01
    assert [budget.withdraw() for _ in range(4)] == [True, True, True, False]


def test_calls_earn_a_fifth_of_a_retry_each() -> None:
    budget = RetryBudget(minimum=0, clock=Clock())
    for _ in range(100):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) in (19, 20)


def test_what_was_earned_fades() -> None:
    clock = Clock()
    budget = RetryBudget(minimum=0, clock=clock)
    for _ in range(100):
        budget.deposit()
    clock.now_s += 60
    assert not budget.withdraw()


@given(failing_share=st.floats(0.0, 1.0), per_second=st.integers(10, 500))
def test_retries_amplify_load_by_at_most_a_fifth(failing_share: float, per_second: int) -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    calls = per_second * 20
    retries = 0
    for number in range(calls):
        clock.now_s += 1 / per_second
        budget.deposit()
        if (number * 0.618_034) % 1 < failing_share:
            retries += budget.withdraw()
    assert retries <= 0.2 * calls + 3 + 3 * 2 + 1


def test_a_repeat_earns_nothing_and_uses_up_a_retry() -> None:
    budget = RetryBudget(minimum=0, clock=Clock())
    for _ in range(20):
        budget.deposit()
    for _ in range(2):
        budget.deposit(repeat=True)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_a_flood_of_repeats_is_forgotten_in_the_end() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    for _ in range(10_000):
        budget.deposit(repeat=True)
    assert not budget.withdraw()
    clock.now_s += 100.01
    assert budget.withdraw()


class Hop:
    """One service on the way: it fails calls before or after it has called the next one, and retries as a pool does."""

    def __init__(self, clock: Clock, dice: random.Random, *, fails_before: float, fails_after: float) -> None:
        self.below: Hop | None = None
        self.calls = 0
        self._budget = RetryBudget(clock=clock)
        self._dice = dice
        self._fails_before, self._fails_after = fails_before, fails_after

    def answer(self, *, repeat: bool) -> str:
        """ "ok", "failed", or "retried": failed, and somebody has tried again already."""
        self.calls += 1
        if self._dice.random() < self._fails_before:
            return "failed"
        answer = self.call(repeat=repeat)
        return "failed" if answer == "ok" and self._dice.random() < self._fails_after else answer

    def call(self, *, repeat: bool) -> str:
        if self.below is None:
            return "ok"
        self._budget.deposit(repeat=repeat)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            answer = self.below.answer(repeat=repeat or attempt > 1)
            if answer != "failed":
                return answer
            if attempt == MAX_ATTEMPTS or not self._budget.withdraw():
                break
        return "retried"


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=4),
    after=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4),
    per_second=st.sampled_from([20, 100, 1000]),
    seed=st.integers(0, 1 << 16),
)
def test_over_several_hops_retries_do_not_multiply(
    before: list[float], after: list[float], per_second: int, seed: int
) -> None:
    clock, dice = Clock(), random.Random(seed)
    client = Hop(clock, dice, fails_before=0, fails_after=0)
    hops = [client]
    for fails_before, fails_after in zip(before, after, strict=False):
        hop = Hop(clock, dice, fails_before=fails_before, fails_after=fails_after)
        hops[-1].below = hop
        hops.append(hop)
    calls = 1000
    for _ in range(calls):
        clock.now_s += 1 / per_second
        client.call(repeat=False)
    reserve = 3 + 0.3 * calls / per_second
    chance = calls**0.5  # a hop hears of its callers' repeats as they come, and may have spent its share by then
    for depth, hop in enumerate(hops[1:], start=1):
        assert hop.calls <= 1.2 * calls + depth * reserve + chance


def later_s(seconds: float) -> float:
    return time.monotonic() + seconds


def test_a_call_is_tried_three_times_in_all() -> None:
    pauses = [pause_before_retry(attempts, end_s=later_s(60), elsewhere=True) for attempts in (1, 2, 3, 4)]
    assert pauses == [0.0, 0.0, None, None]


def test_a_replica_that_has_failed_already_gets_a_moment_to_recover() -> None:
    for attempts, ceiling_s in ((1, 0.05), (2, 0.1)):
        pause_s = pause_before_retry(attempts, end_s=later_s(60), elsewhere=False)
        assert pause_s is not None
        assert ceiling_s / 2 <= pause_s <= ceiling_s


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_servers_wish_is_followed_or_there_is_no_further_attempt(elsewhere: bool) -> None:
    assert pause_before_retry(1, end_s=later_s(60), elsewhere=elsewhere, wish_s=7.0) == 7.0
    assert pause_before_retry(1, end_s=later_s(5), elsewhere=elsewhere, wish_s=7.0) is None


def test_a_call_without_time_left_is_not_tried_again() -> None:
    assert pause_before_retry(1, end_s=later_s(-1), elsewhere=True) is None
