"""What was looked at long ago is stale, and since when is known."""

from __future__ import annotations

from services.health.observe.freshness import Freshness

START_NS = 1_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.passed_s = 0

    def monotonic(self) -> float:
        return 50.0 + self.passed_s

    def wall_ns(self) -> int:
        return START_NS + self.passed_s * 1_000_000_000


def make(clock: Clock) -> Freshness:
    return Freshness({"checks": 9, "probes": 30}, monotonic=clock.monotonic, wall_ns=clock.wall_ns)


def test_what_has_just_begun_is_fresh() -> None:
    assert make(Clock()).stale_since_ns is None


def test_a_kind_of_look_that_does_not_come_makes_all_of_it_stale_since_its_last_one() -> None:
    clock = Clock()
    freshness = make(clock)
    clock.passed_s = 5
    freshness.looked("checks")
    clock.passed_s = 10
    freshness.looked("probes")
    clock.passed_s = 14
    assert freshness.stale_since_ns is None
    clock.passed_s = 15
    assert freshness.stale_since_ns == START_NS + 5_000_000_000


def test_a_look_makes_it_fresh_again() -> None:
    clock = Clock()
    freshness = make(clock)
    clock.passed_s = 20
    assert freshness.stale_since_ns is not None
    freshness.looked("checks")
    assert freshness.stale_since_ns is None


def test_it_was_observed_when_the_oldest_of_its_looks_was_taken() -> None:
    clock = Clock()
    freshness = make(clock)
    clock.passed_s = 3
    freshness.looked("probes")
    clock.passed_s = 4
    freshness.looked("checks")
    assert freshness.observed_ns == START_NS + 3_000_000_000
