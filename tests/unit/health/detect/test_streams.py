"""What each detector finds, and what it leaves alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from services.health.detect.streams.change import Cusum, PageHinkley
from services.health.detect.streams.components import ComponentResidual
from services.health.detect.streams.novelty import THRESHOLD, Novelty
from services.health.detect.streams.records import Records
from services.health.detect.streams.ring import Ring
from services.health.detect.streams.robust import RobustZ
from services.health.detect.streams.season import HoltWinters, SamePhase
from services.health.detect.streams.shape import ShapeDistance

Floats = NDArray[np.float64]


class Stream(Protocol):
    """A detector of single values."""

    def update(self, value: float) -> float: ...


DETECTORS: dict[str, Callable[[], Stream]] = {
    "robust z": lambda: RobustZ(limit=6.0),
    "CUSUM": Cusum,
    "Page-Hinkley": lambda: PageHinkley(tolerance=2.5, limit=150.0),
    "Holt-Winters": lambda: HoltWinters(144),
    "same phase": lambda: SamePhase(144),
}


def noise(count: int, *, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(100.0, 5.0, count)


def odd_at(detector: Stream, values: Iterable[float]) -> list[int]:
    return [index for index, value in enumerate(values) if detector.update(float(value)) >= 1.0]


@pytest.mark.parametrize("name", DETECTORS)
def test_noise_is_no_alarm_in_ten_thousand_values(name: str) -> None:
    assert odd_at(DETECTORS[name](), noise(10_000)) == []


@pytest.mark.parametrize("name", ["robust z", "Holt-Winters", "same phase"])
def test_a_spike_is_found_at_once(name: str) -> None:
    values = noise(1000)
    values[900] += 60.0
    assert odd_at(DETECTORS[name](), values)[0] == 900


@pytest.mark.parametrize("name", ["CUSUM", "Page-Hinkley"])
def test_a_small_step_is_found_that_no_single_value_shows(name: str) -> None:
    values = noise(1500)
    values[1000:] += 6.0
    assert np.abs(values - 100.0).max() < 6 * 5.0
    found = odd_at(DETECTORS[name](), values)
    assert 1000 < found[0] < 1100


def test_a_slow_ramp_is_found_by_cusum() -> None:
    values = noise(2000) + np.concatenate([np.zeros(1000), np.linspace(0.0, 20.0, 1000)])
    assert 1000 < odd_at(Cusum(), values)[0] < 1400


def test_cusum_learns_the_new_mean_after_an_alarm() -> None:
    values = noise(4000)
    values[1000:] += 10.0
    assert len(odd_at(Cusum(), values)) == 1


def test_cusum_takes_wandering_values_for_what_they_are() -> None:
    rng, values = np.random.default_rng(3), np.zeros(10_000)
    for index in range(1, len(values)):
        values[index] = 0.9 * values[index - 1] + rng.normal()
    assert odd_at(Cusum(), values) == []


def test_cusum_sums_as_page_wrote() -> None:
    detector = Cusum(slack=0.5, limit=4.0, warm_up=4)
    for value in (9.0, 11.0, 9.0, 11.0):  # mean 10, deviation 1
        detector.update(value)
    assert [detector.update(value) for value in (12.0, 12.0, 9.0)] == pytest.approx([1.5 / 4, 3.0 / 4, 1.5 / 4])


def test_page_hinkley_sums_deviations_from_the_running_mean() -> None:
    detector = PageHinkley(tolerance=0.0, limit=1.0, warm_up=1, forget=1.0)
    # Means 0, 0.5, 1: deviations 0, 0.5, 1 → 1.5 above the least sum, and it begins anew.
    assert [detector.update(value) for value in (0.0, 1.0, 2.0)] == pytest.approx([0.0, 0.5, 1.5])
    assert detector.update(7.0) == 0.0


def test_robust_z_is_that_of_iglewicz_and_hoaglin() -> None:
    detector = RobustZ(warm_up=5)
    for value in (1.0, 2.0, 3.0, 4.0, 100.0):
        detector.update(value)
    assert detector.z(5.0) == pytest.approx(0.6745 * 2.0 / 1.0)
    assert detector.update(100.0) == pytest.approx(0.6745 * 97.0 / 3.5)


def test_a_series_that_never_moves_is_not_odd_when_it_moves_by_less_than_its_floor() -> None:
    detector = RobustZ(floor=1.0)
    assert odd_at(detector, [50.0] * 100 + [51.0, 54.0]) == []
    assert odd_at(detector, [60.0]) == [0]


@pytest.mark.parametrize("make", [lambda: HoltWinters(48), lambda: SamePhase(48)])
def test_a_season_is_usual_and_its_absence_is_not(make: Callable[[], Stream]) -> None:
    times = np.arange(48 * 12)
    values = 100.0 + 40.0 * np.sin(2 * np.pi * times / 48) + np.random.default_rng(1).normal(0, 2, len(times))
    values[48 * 11 + 12] = 60.0  # as at night, and it is noon
    assert odd_at(make(), values) == [48 * 11 + 12]


def test_holt_winters_says_nothing_in_the_first_two_periods() -> None:
    detector = HoltWinters(10)
    values = [float(index % 10) for index in range(20)]
    assert all(detector.update(value) == 0.0 and not math.isfinite(detector.expected) for value in values[:-1])
    detector.update(values[-1])
    assert [round(detector.expected, 9), round(detector.level, 9)] == [0.0, 4.5]


def test_holt_winters_smooths_as_winters_wrote() -> None:
    detector = HoltWinters(2, level_share=0.5, trend_share=0.5, season_share=0.5)
    for value in (1.0, 3.0, 1.0, 3.0):
        detector.update(value)
    assert (detector.level, detector.trend, detector.season.tolist()) == (2.0, 0.0, [-1.0, 1.0])
    detector.update(3.0)  # level (3 + 1)/2 + 2/2, trend half of the step, season (3 - 2)/2 - 1/2
    assert (detector.level, detector.trend, detector.season.tolist()) == (3.0, 0.5, [0.0, 1.0])
    assert detector.expected == 4.5


def test_a_combination_is_odd_whose_parts_are_not() -> None:
    rng = np.random.default_rng(2)
    load = rng.normal(0.0, 1.0, 2000)
    rows = np.stack([load, 2 * load, -load], 1) + rng.normal(0.0, 0.05, (2000, 3))
    detector = ComponentResidual(3)
    assert not any(detector.update(row) >= 1.0 for row in rows)
    apart = np.array([1.5, 3.0, 1.5])  # the third does not fall as the others rise
    contributions = detector.contributions(apart)
    assert detector.update(apart) > 2.0
    assert int(np.argmax(contributions)) == 2


def test_what_is_odd_does_not_become_a_component() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(0.0, 1.0, (1000, 1)) * np.ones(4) + rng.normal(0.0, 0.05, (1000, 4))
    detector = ComponentResidual(4)
    for row in rows:
        detector.update(row)
    odd = np.array([3.0, -3.0, 3.0, -3.0])
    assert all(detector.update(odd) >= 1.0 for _ in range(100))


def test_a_new_shape_within_the_usual_range_is_novel() -> None:
    times = np.arange(3000)
    values = 50.0 + 20.0 * np.sin(2 * np.pi * times / 100) + np.random.default_rng(4).normal(0, 0.5, len(times))
    values[2500:2540] = 50.0  # flat where it should swing
    detector = Novelty()
    alarms = [index for index, value in enumerate(values) if detector.update(float(value)).excess >= 2.0]
    assert alarms
    assert all(2500 <= alarm < 2560 for alarm in alarms)


def test_novelty_is_told_once_and_again_only_when_it_grows() -> None:
    records = Records(memory=10, rest=5)
    told = [records.update(value) for value in (1.0, 1.0, 3.0, 2.9, 6.5)]
    assert told == pytest.approx([0.0, 1.0, 3.0, 0.0, 0.0])  # 6.5 / 3 is less of a surprise than 3 / 1 was
    assert [records.update(value) for value in (1.0, 1.0, 1.0, 1.0, 1.0, 9.1)][-1] == pytest.approx(9.1 / 6.5)


def test_the_distance_of_a_shape_is_that_to_its_nearest_neighbours() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(1e6, 1.0, 120).tolist()
    detector = ShapeDistance(window=8, neighbours=3, memory=60)
    told = [detector.update(value) for value in values]
    kept = np.array(values[-68:])
    windows = np.lib.stride_tricks.sliding_window_view(kept[:-8], 8)
    distances = np.sort(np.sqrt(((windows - kept[-8:]) ** 2).sum(1)))
    assert told[-1] == pytest.approx(distances[:3].mean(), rel=1e-6)


def test_few_alarms_on_noise_at_the_threshold_of_the_benchmark_and_none_at_the_judges() -> None:
    detector = Novelty()
    said = [detector.update(float(value)) for value in noise(10_000, seed=2)]
    assert sum(each.alarm >= THRESHOLD for each in said) <= 5
    assert max(each.excess for each in said) < 2.0


def test_a_shape_across_a_gap_is_no_alarm() -> None:
    detector, other = Novelty(), Novelty()
    before, after = noise(1000), noise(100, seed=1) + 300.0
    for value in before:
        detector.update(float(value))
        other.update(float(value))
    detector.interrupt()
    assert all(detector.update(float(value)).excess == 0.0 for value in after[:20])
    assert max(other.update(float(value)).excess for value in after[:20]) > 2.0


@pytest.mark.parametrize("name", DETECTORS)
def test_what_is_not_a_number_changes_nothing(name: str) -> None:
    one, other = DETECTORS[name](), DETECTORS[name]()
    for value in noise(400):
        assert one.update(float(value)) == other.update(float(value))
    if name not in ("Holt-Winters", "same phase"):  # whose clock goes on
        before = plain(other)
        assert [other.update(each) for each in (math.nan, math.inf, -math.inf)] == [0.0, 0.0, 0.0]
        assert plain(other) == before
    assert other.update(math.nan) == 0.0


@pytest.mark.parametrize("make", [*DETECTORS.values(), Novelty])
def test_room_does_not_grow_with_time_and_the_state_is_plain(make: Callable[[], Any]) -> None:
    detector = make()
    sizes = []
    for part in range(3):
        for value in noise(1300, seed=part):
            detector.update(float(value))
        sizes.append(sum(array.size for array in arrays(detector)))
    assert sizes[2] <= 1.02 * sizes[1] < 25_000
    assert json.dumps(plain(detector))


def test_a_ring_keeps_the_newest() -> None:
    ring = Ring(3)
    seen = []
    for value in range(20):
        ring.push(float(value))
        seen.append(ring.values.tolist())
    assert seen[1] == [0.0, 1.0]
    assert all(
        values == [float(index - 2), float(index - 1), float(index)] for index, values in enumerate(seen) if index > 1
    )
    one = Ring(1)
    for newest in (1.0, 2.0, 3.0):
        one.push(newest)
    assert (one.values.tolist(), len(one)) == ([3.0], 1)


def arrays(detector: Any) -> Iterable[Floats]:
    for each in fields(detector):
        value = getattr(detector, each.name)
        if is_dataclass(value):
            yield from arrays(value)
        elif isinstance(value, np.ndarray):
            yield value


def plain(detector: Any) -> Any:
    return json.loads(json.dumps(asdict(detector), default=lambda value: value.tolist()))
