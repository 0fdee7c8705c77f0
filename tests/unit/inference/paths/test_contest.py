"""Paths compared by trials, each beside what the best one took at that moment."""

from __future__ import annotations

import pytest

from services.inference.paths.contest import Contest
from services.inference.paths.path import Path

FUSED, REMOTE = Path.FUSED, Path.REMOTE


def contest_of(*seconds: tuple[Path, float], window: int = 3) -> Contest:
    contest = Contest((FUSED, REMOTE), window=window)
    for path, each in seconds:
        contest.observe(path, each)
    return contest


def test_nothing_is_known_before_something_was_measured() -> None:
    contest = contest_of()
    assert [contest.estimate_s(path) for path in (FUSED, REMOTE)] == [None, None]


def test_a_trial_counts_by_how_it_compares_with_the_best_at_that_moment() -> None:
    contest = contest_of((FUSED, 1.0), (REMOTE, 1.5), (FUSED, 4.0), (FUSED, 4.0), (REMOTE, 6.0))
    assert contest.best is FUSED
    assert contest.estimate_s(REMOTE) == pytest.approx(1.5 * 4.0)


def test_the_path_whose_trials_are_mostly_faster_becomes_the_best_and_the_other_one_stays_known() -> None:
    contest = contest_of((FUSED, 1.0), (REMOTE, 0.8), (REMOTE, 0.8))
    assert contest.best is FUSED, "two trials may be luck"
    contest.observe(REMOTE, 0.8)
    assert contest.best is REMOTE
    assert (contest.estimate_s(REMOTE), contest.estimate_s(FUSED)) == pytest.approx((0.8, 1.0))
    assert contest.measurements(FUSED) == 3


def test_one_trial_is_enough_of_a_path_that_is_several_times_faster() -> None:
    assert contest_of((FUSED, 1.0), (REMOTE, 0.4)).best is REMOTE


def test_the_first_path_is_the_best_one_again_as_soon_as_the_other_is_hardly_faster() -> None:
    contest = contest_of((FUSED, 1.0), (REMOTE, 0.4))
    for _ in range(3):
        contest.observe(FUSED, 0.41)
    assert contest.best is FUSED


def test_only_one_of_many_trials_is_luck() -> None:
    contest = contest_of((FUSED, 1.0), (REMOTE, 1.2), (REMOTE, 1.2), (REMOTE, 0.8))
    assert contest.best is FUSED
    assert contest.observe(REMOTE, 0.9), "though it says so, for another look soon"


def test_a_path_that_is_hardly_faster_does_not_take_the_place_of_the_best() -> None:
    contest = contest_of((FUSED, 1.0), (REMOTE, 0.98), (REMOTE, 0.98))
    assert contest.best is FUSED
