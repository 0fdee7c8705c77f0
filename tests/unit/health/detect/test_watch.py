"""One number over time: when an episode begins, what it says, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from services.health.detect.anomalies.sampling import Samples
from services.health.detect.anomalies.watch import DAY, Episode, Watch
from services.health.detect.anomalies.watched import COMBINED, STEP_S, WATCHED, Watched
from services.health.detect.anomalies.wording import firing_of, in_unit
from services.health.metrics.kpis import MODEL, PROCESS

BEGIN_S = 1_790_000_000.0


def watched(scope: int, name: str) -> Watched:
    return next(each for each in WATCHED if (each.scope, each.name) == (scope, name))


P95, RATE, ERRORS, MEMORY = (
    watched(MODEL, "p95"),
    watched(MODEL, "rate"),
    watched(MODEL, "error_ratio"),
    watched(PROCESS, "memory"),
)


def usual(count: int, mean: float, *, spread: float = 0.05, seed: int = 0) -> list[float]:
    factors = np.exp(np.random.default_rng(seed).normal(0.0, spread, count))
    return [mean * factor for factor in factors.tolist()]


def feed(watch: Watch, what: Watched, values: Iterable[float]) -> list[str]:
    """The kind of episode after each value."""
    kinds = []
    for value in values:
        watch.update(what, max(watch.last_s, BEGIN_S) + STEP_S, value)
        kinds.append(watch.episode.kind)
    return kinds


def test_every_watched_number_is_in_the_table_of_kpis() -> None:
    assert all(each.kpi.expression for each in WATCHED)
    assert all(COMBINED.values())


def test_a_step_is_an_episode_after_half_a_minute_and_ends_when_it_is_over() -> None:
    watch = Watch()
    assert set(feed(watch, P95, usual(400, 0.042))) == {""}
    kinds = feed(watch, P95, usual(30, 0.126))
    assert kinds[:2] == ["", ""]
    assert set(kinds[2:]) == {"level"}
    assert watch.episode.usual == pytest.approx(0.042, rel=0.05)
    assert watch.episode.since_s == BEGIN_S + 401 * STEP_S
    assert feed(watch, P95, usual(6, 0.042))[-1] == ""


def test_a_single_outlier_is_none() -> None:
    watch = Watch()
    feed(watch, P95, usual(400, 0.042))
    assert set(feed(watch, P95, [0.5, *usual(50, 0.042, seed=1)])) == {""}


def test_faster_than_usual_is_no_finding_and_less_traffic_is() -> None:
    watch, rate = Watch(), Watch()
    feed(watch, P95, usual(400, 0.042))
    feed(rate, RATE, usual(400, 20.0))
    assert set(feed(watch, P95, usual(20, 0.001))) == {""}
    assert feed(rate, RATE, usual(20, 2.0))[-1] == "level"


def test_a_change_that_nobody_would_notice_is_none() -> None:
    watch = Watch()
    feed(watch, P95, usual(400, 0.002, spread=0.01))
    assert set(feed(watch, P95, usual(50, 0.004, spread=0.01))) == {""}  # twice as much, and only 2 ms


def test_a_leak_is_found_though_no_value_is_far_from_those_before() -> None:
    watch = Watch()
    feed(watch, MEMORY, usual(400, 6e8, spread=0.005))
    growing = [6e8 * (1.0 + index / 1500) for index in range(1500)]
    kinds = feed(watch, MEMORY, growing)
    assert "drift" in kinds
    assert "level" not in kinds[: kinds.index("drift")]
    assert 0.3 <= kinds.index("drift") / 1500 < 0.6


def test_what_lasts_an_hour_becomes_usual() -> None:
    watch = Watch()
    feed(watch, P95, usual(400, 0.042))
    kinds = feed(watch, P95, usual(1100, 0.126))
    assert (kinds[300], kinds[-1]) == ("level", "")


def test_what_every_day_has_at_this_time_is_usual() -> None:
    surge = [20.0] * 200 + [100.0] * 20 + [20.0] * (DAY - 220)
    known = {BEGIN_S + 300.0 * index: value for index, value in enumerate(surge * 3)}
    watch, stranger = Watch(), Watch()
    watch.learn_past(RATE, known, max(known), 300.0)
    for each in (watch, stranger):
        feed(each, RATE, usual(200 * 30, 20.0)[-900:])
    watch.by_day.step = 200 + 3 * DAY  # the time of the surge
    assert feed(stranger, RATE, usual(30, 100.0))[-1] == "level"
    assert set(feed(watch, RATE, usual(30, 100.0))) == {""}


def test_a_gap_ends_nothing_and_a_long_one_ends_the_episode() -> None:
    watch = Watch()
    feed(watch, P95, usual(400, 0.042))
    feed(watch, P95, usual(10, 0.126))
    assert feed(watch, P95, [math.nan] * 30)[-1] == "level"
    assert feed(watch, P95, [math.nan] * 30)[-1] == ""


def test_values_of_the_past_are_left_out() -> None:
    watch = Watch()
    feed(watch, P95, usual(400, 0.042))
    before = watch.last_s
    watch.update(P95, before - 3600.0, 9.0)
    watch.update(P95, before, 9.0)
    assert (watch.last_s, watch.odd) == (before, 0)


def test_few_requests_say_nothing_and_a_few_failed_ones_are_no_share() -> None:
    times, subject = [10.0, 20.0, 30.0], ("m", "1")
    values = {10.0: 0.2, 20.0: 0.2, 30.0: 0.2}
    rates = {10.0: 0.5, 20.0: 0.9, 30.0: 5.0}
    samples = Samples(times, {(P95, subject): values, (ERRORS, subject): values}, {}, {subject: rates})
    told = [value for _, value in samples.of(P95, subject)]
    assert [math.isnan(value) for value in told] == [True, True, False]
    # 0.2 of 0.9 a second is 10.8 a minute: enough. 0.2 of 0.5 is 6.
    assert [value for _, value in samples.of(ERRORS, subject)] == [0.0, 0.2, 0.2]


def test_an_anomaly_in_words() -> None:
    episode = Episode("level", BEGIN_S, usual=0.042, now=0.13)
    found = firing_of(P95, ("resnet", "5"), episode)
    assert found.annotations["summary"] == ("p95 of resnet@5 is 3.1 × its usual 42 ms since 14:13 UTC (130 ms).")
    assert dict(found.labels) == {
        "alertname": "LatencyUnusual",
        "severity": "ticket",
        "kpi": "p95",
        "model": "resnet",
        "version": "5",
    }


def test_only_burn_rates_page() -> None:
    assert {each.severity for each in WATCHED} == {"ticket", "info"}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0421, "s", "42.1 ms"),
        (2.5, "s", "2.50 s"),
        (0.031, "ratio", "3.1 %"),
        (512 * 2.0**20, "bytes", "512 MiB"),
        (12.34, "1/s", "12.3/s"),
        (1.5, "cores", "1.5 cores"),
    ],
)
def test_numbers_are_written_as_people_do(value: float, unit: str, text: str) -> None:
    assert in_unit(value, unit) == text
