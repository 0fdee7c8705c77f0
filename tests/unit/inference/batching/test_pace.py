"""Whether a batch that has the machine to itself runs on all cores: what was measured decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.inference.batching.flight import Airspace, Departure, Flight
from services.inference.batching.pace import Pace


def flight(rows: int = 1, *, wide: bool = False) -> Flight:
    return Flight([], rows, Departure.IDLE, 0.0, 0.0, wide)


def run_alone(pace: Pace, batches: int, *, wide_s: float, alone_s: float) -> list[bool]:
    chosen = []
    for _ in range(batches):
        wide = pace.prefers_wide(1)
        pace.observe(flight(wide=wide), wide_s if wide else alone_s)
        chosen.append(wide)
    return chosen


@pytest.mark.parametrize(("wide_s", "alone_s", "wins"), [(0.006, 0.010, True), (0.0002, 0.0001, False)])
def test_lone_batches_run_as_was_measured_to_be_faster(wide_s: float, alone_s: float, wins: bool) -> None:
    pace = Pace(can_be_wide=True)
    chosen = run_alone(pace, 500, wide_s=wide_s, alone_s=alone_s)
    assert chosen[200:].count(wins) > 0.97 * len(chosen[200:])
    assert chosen.count(not wins) >= 10, "the other way is tried from time to time"


def test_a_slow_first_batch_does_not_decide_for_long() -> None:
    pace = Pace(can_be_wide=True)
    run_alone(pace, 5, wide_s=0.1, alone_s=0.01)
    assert run_alone(pace, 100, wide_s=0.006, alone_s=0.01)[-5:].count(True) >= 4


def test_a_model_without_a_second_copy_never_does() -> None:
    assert not any(Pace(can_be_wide=False).prefers_wide(1) for _ in range(10))


def test_batches_beside_others_are_learned_apart() -> None:
    pace, airspace = Pace(can_be_wide=True), Airspace()
    first, second = flight(wide=True), flight()
    airspace.enter(first)
    airspace.enter(second)
    assert first.shares and second.shares
    pace.observe(first, 0.5)
    pace.observe(second, 0.02)
    assert (pace.wide.batches, pace.alone.batches, pace.shared.batches) == (0, 0, 1)
    assert pace.latency is pace.shared
    airspace.leave(first)
    airspace.leave(second)
    assert airspace.is_clear(None)


def test_batches_of_one_instance_run_one_after_another_and_not_beside_each_other() -> None:
    airspace, instance = Airspace(), object()
    first, second, other = (replace(flight(), lane=lane) for lane in (instance, instance, None))
    airspace.enter(first)
    assert airspace.is_clear(instance)
    assert not airspace.is_clear(None)
    airspace.enter(second)
    assert [each.shares for each in (first, second)] == [False, False]
    airspace.enter(other)
    assert not airspace.is_clear(instance)
    assert [each.shares for each in (first, second, other)] == [True, True, True]


def test_a_lone_instance_is_planned_with_the_way_that_it_takes() -> None:
    pace = Pace(can_be_wide=True)
    run_alone(pace, 50, wide_s=0.006, alone_s=0.010)
    assert pace.latency is pace.wide


def test_plans_are_made_with_what_there_is() -> None:
    pace = Pace(can_be_wide=True)
    pace.observe(flight(wide=True), 0.006)
    assert pace.latency.estimate_s(1) == pytest.approx(0.006)


def test_what_is_enough_for_a_lone_batch_is_not_hopeless_because_others_once_ran_beside() -> None:
    pace = Pace(can_be_wide=True)
    assert not pace.hopeless(0.001), "nothing was seen yet"
    pace.shared.observe(1, 0.030)
    assert pace.hopeless(0.020)
    pace.wide.observe(1, 0.012)
    assert not pace.hopeless(0.020)
    assert pace.hopeless(0.010)
