"""The choice among paths: what was measured decides, and measuring costs little."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.paths.chooser import PathChooser
from services.inference.paths.path import Path, Reason

FUSED, REMOTE = Path.FUSED, Path.REMOTE


class World:
    """Items on paths that take a known time: a clock, and callers who send their next item when they have an answer."""

    def __init__(self, *paths: Path) -> None:
        self.chooser = PathChooser(paths or (FUSED, REMOTE))
        self.now_s = 100.0
        self.taken: list[tuple[Path, Reason]] = []

    def alone(self, items: int, duration_s: Callable[[Path], float]) -> None:
        for _ in range(items):
            trip = self.chooser.begin(self.now_s)
            self.now_s += duration_s(trip.path)
            self.taken.append((trip.path, trip.reason))
            self.chooser.end(trip, self.now_s, answered=True)

    def busy(self, items: int, per_item_s: Callable[[Path], float], *, callers: int = 8) -> None:
        """All callers wait in one queue, whose server needs so long for each item."""
        queue = [self.chooser.begin(self.now_s) for _ in range(callers)]
        for _ in range(items):
            trip = queue.pop(0)
            self.now_s += per_item_s(trip.path)
            self.taken.append((trip.path, trip.reason))
            self.chooser.end(trip, self.now_s, answered=True)
            queue.append(self.chooser.begin(self.now_s))
        for trip in queue:
            self.chooser.end(trip, self.now_s, answered=False)

    def share(self, path: Path, *, last: int) -> float:
        return Counter(taken for taken, _ in self.taken[-last:])[path] / last


def slow_fused(path: Path) -> float:
    return 0.03 if path is FUSED else 0.01


@pytest.mark.parametrize("best", [FUSED, REMOTE])
def test_a_lone_caller_gets_the_path_that_is_fastest_for_one(best: Path) -> None:
    world = World()
    world.alone(500, lambda path: 0.015 if path is best else 0.021)
    assert world.chooser.alone.best is best
    assert world.share(best, last=400) > 0.9
    assert Reason.ALONE in {reason for _, reason in world.taken[-2:]}


@pytest.mark.parametrize("best", [FUSED, REMOTE])
def test_many_callers_get_the_path_that_does_most(best: Path) -> None:
    world = World()
    world.busy(4000, lambda path: 0.008 if path is best else 0.010)
    assert world.chooser.under_load.best is best
    assert world.share(best, last=3000) > 0.85, "they are close to each other, so the other is tried a few times more"


def test_the_best_for_one_need_not_be_the_best_for_many() -> None:
    world = World()
    world.alone(50, slow_fused)
    world.busy(500, lambda path: 0.008 if path is FUSED else 0.010)
    assert (world.chooser.alone.best, world.chooser.under_load.best) == (REMOTE, FUSED)


def test_trials_that_change_nothing_become_rare_so_that_no_hundredth_item_is_one() -> None:
    world = World()
    world.busy(40_000, lambda path: 0.008 if path is FUSED else 0.010, callers=16)
    assert world.share(REMOTE, last=30_000) < 0.01
    world.alone(4000, lambda path: 0.015 if path is FUSED else 0.021)
    assert world.share(REMOTE, last=3000) < 0.01


def test_a_path_that_is_clearly_slower_is_no_part_of_the_p99_after_the_first_seconds() -> None:
    world = World()
    world.busy(1000, lambda path: 0.008 if path is FUSED else 0.012, callers=16)
    assert Counter(taken for taken, _ in world.taken)[REMOTE] >= 48, "it was measured twice"
    world.busy(9000, lambda path: 0.008 if path is FUSED else 0.012, callers=16)
    assert world.share(REMOTE, last=9000) == 0


def test_nor_is_any_of_paths_that_are_nearly_as_good_as_each_other_and_vary() -> None:
    world, luck = World(), random.Random(2)
    world.busy(60_000, lambda path: (0.011 if path is FUSED else 0.0115) * luck.uniform(0.7, 1.3), callers=16)
    assert world.share(REMOTE, last=50_000) < 0.01


def test_they_become_frequent_again_when_the_best_path_is_no_longer_what_it_was() -> None:
    world = World()
    world.busy(40_000, lambda path: 0.008 if path is FUSED else 0.010, callers=16)
    world.busy(2000, lambda path: 0.020 if path is FUSED else 0.010, callers=16)
    assert world.chooser.under_load.best is REMOTE


def test_what_slows_the_whole_machine_for_a_while_says_nothing_about_a_path() -> None:
    world, others = World(), random.Random(1)
    worlds_pace = 1.0

    def per_item_s(path: Path) -> float:
        return worlds_pace * (0.008 if path is FUSED else 0.009)

    for _ in range(40):
        worlds_pace = others.uniform(1.0, 2.0)
        world.busy(1000, per_item_s, callers=16)
    assert world.chooser.under_load.best is FUSED
    assert world.share(FUSED, last=30_000) > 0.9


def test_a_path_that_was_unlucky_when_it_was_first_tried_gets_its_chance() -> None:
    world = World()
    world.alone(20, lambda path: 0.015 if path is REMOTE else 0.045)
    world.alone(400, lambda path: 0.015 if path is REMOTE else 0.012)
    assert world.chooser.alone.best is FUSED


def test_it_follows_when_the_other_path_becomes_better() -> None:
    world = World()
    world.busy(2000, lambda path: 0.008 if path is FUSED else 0.010)
    world.busy(30_000, lambda path: 0.012 if path is FUSED else 0.010)
    assert world.chooser.under_load.best is REMOTE


def test_a_single_path_is_never_measured() -> None:
    world = World(REMOTE)
    world.alone(10, slow_fused)
    world.busy(100, slow_fused)
    assert set(world.taken) == {(REMOTE, Reason.ONLY)}
    assert world.chooser.alone.estimate_s(REMOTE) is None


def test_what_failed_is_not_taken_for_fast() -> None:
    world = World()
    world.alone(20, lambda path: 0.02)
    for _ in range(300):
        trip = world.chooser.begin(world.now_s)
        world.chooser.end(trip, world.now_s, answered=False)
    assert world.chooser.alone.estimate_s(FUSED) == pytest.approx(0.02)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.001, 0.1), st.floats(0.001, 0.1), st.integers(2, 64))
def test_measuring_costs_little(fused_s: float, remote_s: float, callers: int) -> None:
    """Over 20,000 items: the first turns of each path, whatever they cost, and some percent of the best there is."""
    world = World()
    began_s = world.now_s
    world.busy(20_000, lambda path: fused_s if path is FUSED else remote_s, callers=callers)
    best_s, worst_s = sorted((fused_s, remote_s))
    turn_items = 24 + 0.25 / worst_s + 2 * callers
    first_turns_s = 3 * turn_items * (worst_s - best_s)
    assert world.now_s - began_s <= 20_000 * best_s * 1.1 + first_turns_s
