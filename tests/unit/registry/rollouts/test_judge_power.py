"""What the judge promises, on some hundred simulated rollouts; `python -m benchmarks judge` has a thousand of each."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from benchmarks.judging.simulation import MOODS, Scene
from benchmarks.judging.tables import FAULTS, Run, run


def runs(scene: Scene, count: int) -> list[Run]:
    return [run(scene, seed) for seed in range(count)]


@pytest.mark.parametrize("mood", MOODS)
def test_two_equal_versions_are_left_alone(mood: str) -> None:
    alarms = sum(each.looks is not None for each in runs(Scene(mood=mood, intervals=24), 40))
    assert alarms <= 1


@pytest.mark.parametrize(
    ("fault", "requests"), [("5 % errors, against all arms", 80), ("5 % errors, against an equal baseline", 200)]
)
def test_five_percent_errors_are_stopped_early(fault: str, requests: int) -> None:
    assert statistics.median(each.requests for each in runs(FAULTS[fault], 41)) <= requests


@pytest.mark.parametrize("fault", [name for name in FAULTS if "errors," not in name])
def test_faults_are_found(fault: str) -> None:
    found = [each.looks for each in runs(FAULTS[fault], 10)]
    assert sum(look is not None for look in found) >= 9


def test_what_is_half_slower_is_caught_within_a_minute() -> None:
    looks = [each.looks or 999 for each in runs(FAULTS["everything 50 % slower"], 20)]
    assert statistics.median(looks) <= 12


def test_a_small_canary_of_a_busy_model_is_judged_too() -> None:
    scene = replace(FAULTS["5 % errors, against all arms"], rest=2000)
    assert all(each.looks is not None for each in runs(scene, 10))
