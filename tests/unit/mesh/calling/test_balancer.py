"""The balancer prefers fast and idle replicas, ejects broken ones, and gives everyone another chance."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.mesh.calling.balancer import Balancer, Outcome, Ticket
from lepton_ai.mesh.load import Load

Behaviour = Callable[[float], tuple[float, Outcome]]
"""At this second: how long a call takes, and how it ends."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _balancer(*addresses: str, seed: int = 1) -> tuple[Balancer, Clock]:
    clock = Clock()
    balancer = Balancer(clock=clock, uniform=random.Random(seed).random)
    balancer.update(addresses)
    return balancer, clock


def _call(
    balancer: Balancer, clock: Clock, outcome: Outcome, *, latency_s: float = 0.01, exclude: tuple[str, ...] = ()
) -> str:
    ticket = balancer.pick(exclude)
    assert ticket is not None
    clock.now_s += latency_s
    ticket.finish(outcome)
    return ticket.address


def _run(
    replicas: Mapping[str, Behaviour], *, per_second: float, duration_s: float, seed: int
) -> list[tuple[float, str]]:
    """Open-loop load on simulated replicas: when each call was made, and to which."""
    balancer, clock = _balancer(*replicas, seed=seed)
    begin_s = clock.now_s
    ends: list[tuple[float, int, Ticket, Outcome]] = []
    order = itertools.count()
    calls: list[tuple[float, str]] = []
    for number in range(int(per_second * duration_s)):
        arrival_s = begin_s + number / per_second
        while ends and ends[0][0] <= arrival_s:
            clock.now_s, _, done, outcome = heapq.heappop(ends)
            done.finish(outcome)
        clock.now_s = arrival_s
        ticket = balancer.pick()
        assert ticket is not None
        latency_s, outcome = replicas[ticket.address](arrival_s - begin_s)
        heapq.heappush(ends, (arrival_s + latency_s, next(order), ticket, outcome))
        calls.append((arrival_s - begin_s, ticket.address))
    return calls


def _share(calls: list[tuple[float, str]], address: str, *, after_s: float = 0.0, before_s: float = 1e9) -> float:
    counts = Counter(each for at_s, each in calls if after_s <= at_s < before_s)
    return counts[address] / counts.total()


def _always(latency_s: float, outcome: Outcome = Outcome.SUCCEEDED) -> Behaviour:
    return lambda _: (latency_s, outcome)


def test_without_replicas_there_is_no_pick() -> None:
    balancer, _ = _balancer()
    assert balancer.pick() is None


def test_excluded_replicas_are_never_picked() -> None:
    balancer, _ = _balancer("a", "b")
    assert {_pick(balancer, ("a",)) for _ in range(20)} == {"b"}
    assert balancer.pick(("a", "b")) is None


def _pick(balancer: Balancer, exclude: tuple[str, ...] = ()) -> str:
    ticket = balancer.pick(exclude)
    assert ticket is not None
    return ticket.address


def test_calls_spread_over_equal_replicas() -> None:
    calls = _run({name: _always(0.02) for name in "abc"}, per_second=200, duration_s=10, seed=3)
    assert all(0.25 < _share(calls, name) < 0.42 for name in "abc")


def test_calls_under_way_make_a_replica_less_attractive() -> None:
    balancer, _ = _balancer("a", "b")
    picks = Counter(_pick(balancer) for _ in range(100))
    assert picks == {"a": 50, "b": 50}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_ten_times_slower_replica_gets_at_most_a_twentieth(count: int) -> None:
    replicas = {f"r{number}": _always(0.005) for number in range(count)} | {"r0": _always(0.05)}
    calls = _run(replicas, per_second=200, duration_s=20, seed=count)
    assert _share(calls, "r0", after_s=5) <= 0.05


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_replica_that_fails_fast_gets_at_most_a_hundredth(count: int, outcome: Outcome) -> None:
    replicas = {f"r{number}": _always(0.01) for number in range(count)} | {"r0": _always(0.001, outcome)}
    calls = _run(replicas, per_second=200, duration_s=30, seed=count)
    assert _share(calls, "r0", after_s=2) <= 0.01


def test_a_replica_that_hangs_is_left_alone_before_anything_times_out() -> None:
    replicas = {"good": _always(0.01), "hangs": _always(30.0, Outcome.TIMED_OUT)}
    calls = _run(replicas, per_second=200, duration_s=10, seed=1)
    assert _share(calls, "hangs", after_s=1) <= 0.01


def test_a_newcomer_is_tried_soon_but_not_flooded() -> None:
    balancer, clock = _balancer("old")
    for _ in range(100):
        _call(balancer, clock, Outcome.SUCCEEDED, latency_s=0.02)
    balancer.update(("old", "new"))
    burst = Counter(_pick(balancer) for _ in range(16))
    assert 1 <= burst["new"] <= 5


def test_a_newcomer_soon_gets_its_share() -> None:
    balancer, clock = _balancer("old")
    for _ in range(100):
        _call(balancer, clock, Outcome.SUCCEEDED)
    balancer.update(("old", "new"))
    calls = [_call(balancer, clock, Outcome.SUCCEEDED) for _ in range(400)]
    assert Counter(calls[300:])["new"] >= 30


def test_five_failures_in_a_row_eject() -> None:
    balancer, clock = _balancer("bad", "good")
    for _ in range(4):
        _call(balancer, clock, Outcome.FAILED, exclude=("good",))
    assert balancer.ejected == set()
    _call(balancer, clock, Outcome.FAILED, exclude=("good",))
    assert balancer.ejected == {"bad"}
    assert {_call(balancer, clock, Outcome.SUCCEEDED) for _ in range(40)} == {"good"}


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.ANSWERED, Outcome.REFUSED])
def test_an_answer_in_between_starts_the_count_again(outcome: Outcome) -> None:
    balancer, clock = _balancer("bad", "good")
    for each in [Outcome.FAILED] * 4 + [outcome] + [Outcome.FAILED] * 4:
        _call(balancer, clock, each, exclude=("good",))
    assert balancer.ejected == set()


def test_timeouts_eject_only_who_answers_nobody() -> None:
    balancer, clock = _balancer("hasty callers", "hung")
    for _ in range(10):
        patient, hasty = balancer.pick(("hung",)), balancer.pick(("hung",))
        clock.now_s += 0.1
        assert patient is not None
        assert hasty is not None
        patient.finish(Outcome.SUCCEEDED)
        hasty.finish(Outcome.TIMED_OUT)
        _call(balancer, clock, Outcome.TIMED_OUT, exclude=("hasty callers",))
    assert balancer.ejected == {"hung"}


def _eject(balancer: Balancer, clock: Clock, address: str) -> None:
    others = tuple(balancer.addresses - {address})
    for _ in range(5):
        _call(balancer, clock, Outcome.FAILED, exclude=others)


def test_probation_ends_with_a_single_probe() -> None:
    balancer, clock = _balancer("a", "b")
    _eject(balancer, clock, "a")
    clock.now_s += 1.01
    assert [_pick(balancer) for _ in range(5)] == ["a", "b", "b", "b", "b"]


def test_a_probe_that_succeeds_brings_the_replica_back() -> None:
    balancer, clock = _balancer("a", "b")
    _eject(balancer, clock, "a")
    clock.now_s += 1.01
    assert _call(balancer, clock, Outcome.SUCCEEDED) == "a"
    assert balancer.ejected == set()
    burst = Counter(_pick(balancer) for _ in range(20))
    assert burst["a"] >= 5


def test_probation_doubles_up_to_a_minute() -> None:
    balancer, clock = _balancer("a", "b")
    _eject(balancer, clock, "a")
    waits_s: list[float] = []
    for _ in range(9):
        begin_s = clock.now_s
        while _call(balancer, clock, Outcome.FAILED if _probe_due(balancer, clock) else Outcome.SUCCEEDED) != "a":
            pass
        waits_s.append(clock.now_s - begin_s)
    ceilings_s = [min(60.0, 2.0**strike) for strike in range(9)]
    for wait_s, ceiling_s in zip(waits_s, ceilings_s, strict=True):
        assert ceiling_s / 2 <= wait_s <= ceiling_s + 0.1


def _probe_due(balancer: Balancer, clock: Clock) -> bool:
    return clock.now_s >= balancer._next_probe_s


def test_calls_that_were_under_way_when_it_was_ejected_do_not_prolong() -> None:
    balancer, clock = _balancer("a", "b")
    under_way = [balancer.pick(("b",)) for _ in range(50)]
    clock.now_s += 0.1
    for ticket in under_way:
        assert ticket is not None
        ticket.finish(Outcome.FAILED)
    clock.now_s += 1.01
    assert _pick(balancer) == "a"


def test_a_single_replica_is_never_ejected() -> None:
    balancer, clock = _balancer("only")
    for _ in range(100):
        assert _call(balancer, clock, Outcome.FAILED) == "only"
    assert balancer.ejected == set()


def test_when_all_that_is_left_is_ejected_it_is_used() -> None:
    balancer, clock = _balancer("a", "b")
    _eject(balancer, clock, "a")
    assert _pick(balancer, ("b",)) == "a"


def test_when_replicas_leave_no_more_than_half_stay_ejected() -> None:
    balancer, clock = _balancer("a", "b", "c", "d")
    _eject(balancer, clock, "a")
    _eject(balancer, clock, "b")
    balancer.update(("a", "b", "c"))
    assert len(balancer.ejected) == 1


def test_a_replica_that_comes_back_starts_afresh() -> None:
    balancer, clock = _balancer("a", "b")
    _eject(balancer, clock, "a")
    balancer.update(("b",))
    balancer.update(("a", "b"))
    assert balancer.ejected == set()


def test_after_all_failed_and_recovered_nobody_is_locked_out() -> None:
    def recovers(at_s: float) -> tuple[float, Outcome]:
        return (0.001, Outcome.FAILED) if at_s < 10 else (0.01, Outcome.SUCCEEDED)

    calls = _run({"a": recovers, "b": recovers, "c": recovers}, per_second=100, duration_s=60, seed=2)
    assert all(_share(calls, name, after_s=40) > 0.15 for name in "abc")


def test_finishing_twice_counts_once() -> None:
    balancer, _ = _balancer("a", "b")
    ticket = balancer.pick(("b",))
    assert ticket is not None
    for _ in range(10):
        ticket.finish(Outcome.FAILED)
    assert balancer.ejected == set()


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pick"), st.sets(st.integers(0, 6), max_size=3)),
        st.tuples(st.just("finish"), st.sampled_from(Outcome)),
        st.tuples(st.just("update"), st.sets(st.integers(0, 6))),
        st.tuples(st.just("wait"), st.floats(0, 90)),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(steps=_STEPS, seed=st.integers(0, 1 << 16))
def test_whatever_happens_picks_are_candidates_and_half_stays_in_use(
    steps: list[tuple[str, object]], seed: int
) -> None:
    balancer, clock = _balancer("0", "1", "2", seed=seed)
    under_way: list[Ticket] = []
    for action, value in steps:
        if action == "pick" and isinstance(value, set):
            exclude = {str(number) for number in value}
            in_use = balancer.addresses - balancer.ejected - exclude
            probe_is_due = _probe_due(balancer, clock)
            ticket = balancer.pick(exclude)
            assert (ticket is None) == (not balancer.addresses - exclude)
            if ticket is not None:
                assert ticket.address in balancer.addresses - exclude
                assert ticket.address in in_use or not in_use or probe_is_due
                under_way.append(ticket)
        elif action == "finish" and isinstance(value, Outcome) and under_way:
            under_way.pop(0).finish(value)
        elif action == "update" and isinstance(value, set):
            balancer.update(str(number) for number in value)
        elif action == "wait" and isinstance(value, float):
            clock.now_s += value
        assert len(balancer.ejected) <= len(balancer.addresses) // 2
    for ticket in under_way:
        ticket.finish(Outcome.ABANDONED)
    assert not any(balancer.under_way.values())


def test_who_is_always_overtaken_is_ejected() -> None:
    balancer, clock = _balancer("hangs", "good")
    for _ in range(5):
        _call(balancer, clock, Outcome.OVERTAKEN, exclude=("good",))
    assert balancer.ejected == {"hangs"}


def test_who_answers_others_is_only_slow_when_it_is_overtaken() -> None:
    balancer, clock = _balancer("slow", "good")
    for _ in range(10):
        overtaken, answered = balancer.pick(("good",)), balancer.pick(("good",))
        assert overtaken is not None
        assert answered is not None
        clock.now_s += 0.1
        answered.finish(Outcome.SUCCEEDED)
        overtaken.finish(Outcome.OVERTAKEN)
    assert balancer.ejected == set()


def test_a_pool_has_too_much_to_do_while_more_than_a_tenth_refuses() -> None:
    addresses = tuple(f"r{number}" for number in range(20))
    balancer, clock = _balancer(*addresses)
    overloaded = []
    for address in addresses[:3]:
        _call(balancer, clock, Outcome.REFUSED, exclude=tuple({*addresses} - {address}))
        overloaded.append(balancer.overloaded)
    had_room = balancer.has_room(addresses[3:])
    clock.now_s += 1.01
    assert (overloaded, had_room) == ([False, False, True], False)
    assert (balancer.overloaded, balancer.has_room(addresses[3:])) == (False, True)


def test_replicas_that_report_to_be_nearly_full_count_as_too_busy() -> None:
    balancer, _ = _balancer("a", "b")
    overloaded = []
    for address, in_flight in (("gone", 80), ("a", 79), ("a", 80)):
        balancer.report(address, Load(in_flight, latency_s=0.1, limit=100))
        overloaded.append(balancer.overloaded)
    assert overloaded == [False, False, True]
    assert not balancer.has_room(("b",))
    assert balancer.has_room(("a",))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 6), slowdown=st.floats(8, 100), latency_ms=st.floats(1, 50), seed=st.integers(0, 1 << 16))
def test_a_slow_replica_gets_a_small_share(count: int, slowdown: float, latency_ms: float, seed: int) -> None:
    latency_s = latency_ms / 1000
    replicas = {f"r{number}": _always(latency_s) for number in range(count)} | {"r0": _always(latency_s * slowdown)}
    calls = _run(replicas, per_second=0.5 * count / latency_s, duration_s=1000 * latency_s, seed=seed)
    assert _share(calls, "r0", after_s=500 * latency_s) <= 0.10


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 6),
    failure_ms=st.floats(0.1, 20),
    outcome=st.sampled_from([Outcome.FAILED, Outcome.REFUSED]),
    seed=st.integers(0, 1 << 16),
)
def test_a_failing_replica_gets_a_tiny_share(count: int, failure_ms: float, outcome: Outcome, seed: int) -> None:
    replicas = {f"r{number}": _always(0.02) for number in range(count)} | {"r0": _always(failure_ms / 1000, outcome)}
    calls = _run(replicas, per_second=100, duration_s=20, seed=seed)
    assert _share(calls, "r0", after_s=2) <= 0.01


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 6), outage_s=st.floats(0.5, 10), seed=st.integers(0, 1 << 16))
def test_a_replica_gets_its_share_again_after_it_recovered(count: int, outage_s: float, seed: int) -> None:
    def recovers(at_s: float) -> tuple[float, Outcome]:
        return (0.001, Outcome.FAILED) if at_s < outage_s else (0.02, Outcome.SUCCEEDED)

    replicas = {f"r{number}": _always(0.02) for number in range(count)} | {"r0": recovers}
    calls = _run(replicas, per_second=40, duration_s=outage_s * 3 + 30, seed=seed)
    assert _share(calls, "r0", after_s=outage_s * 3 + 20) >= 0.3 / count
