"""The learned duration of batches."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.batching.latency import LatencyModel


def learned(*observations: tuple[int, float]) -> LatencyModel:
    model = LatencyModel()
    for rows, duration_s in observations:
        model.observe(rows, duration_s)
    return model


def test_before_anything_was_seen_it_restricts_nothing() -> None:
    model = LatencyModel()
    assert model.estimate_s(100) == 0.0
    assert model.rows_within(0.001) == float("inf")
    assert model.splitting_pays(8)


def test_it_finds_slope_and_intercept_in_noise() -> None:
    source = random.Random(5)
    sizes = [source.randint(1, 16) for _ in range(300)]
    model = learned(*((rows, 0.004 * rows + 0.01 + source.gauss(0, 0.0005)) for rows in sizes))
    assert model.per_row_s == pytest.approx(0.004, rel=0.1)
    assert model.fixed_s == pytest.approx(0.01, rel=0.2)
    assert model.rows_within(0.031) == 5


def test_stragglers_do_not_move_it() -> None:
    source = random.Random(7)
    model = LatencyModel()
    for _ in range(300):
        rows = source.choice((1, 4))
        straggles = source.random() < 0.2
        model.observe(rows, (0.015 * rows + 0.0015) * (source.uniform(2, 10) if straggles else source.uniform(1, 1.05)))
    assert model.per_row_s == pytest.approx(0.0155, rel=0.05)
    assert model.fixed_s == pytest.approx(0.0015, rel=0.5)


def test_a_size_that_was_not_seen_for_long_no_longer_counts() -> None:
    model = learned((1, 0.1), *[(8, 0.01)] * 300)
    assert model.estimate_s(8) == pytest.approx(0.01)
    assert model.worthwhile_rows(16) == 16, "with one size left, other sizes are tried again"


def test_with_a_single_size_all_of_it_counts_per_row() -> None:
    assert learned((4, 0.4), (4, 0.4)).estimate_s(8) == pytest.approx(0.8)


def test_it_follows_a_model_that_became_slower() -> None:
    before = [(1 + number % 8, 0.001 * (1 + number % 8)) for number in range(200)]
    after = [(1 + number % 8, 0.01 * (1 + number % 8)) for number in range(200)]
    assert learned(*before, *after).estimate_s(4) == pytest.approx(0.04, rel=0.1)


def test_splitting_pays_when_rows_cost_more_than_batches() -> None:
    assert learned((1, 0.011), (8, 0.081)).splitting_pays(4)
    assert not learned((1, 0.0101), (8, 0.0108)).splitting_pays(4)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 10)), min_size=1, max_size=50))
def test_estimates_are_never_negative_and_never_fall_with_more_rows(observations: list[tuple[int, float]]) -> None:
    model = learned(*observations)
    estimates = [model.estimate_s(rows) for rows in range(1, 65)]
    assert min(estimates) >= 0
    assert estimates == sorted(estimates)


@pytest.mark.parametrize(
    ("observations", "worthwhile"),
    [
        ([(1, 0.10), (8, 0.80)], 1),  # a CPU core: no time is shared between rows
        ([(1, 0.107), (8, 0.807)], 5),  # 7 ms for each batch, 100 ms for each row
        ([(1, 0.0101), (8, 0.0108)], 8),  # a GPU: nearly all of it is for the batch
        ([(1, 0.001), (8, 0.008)], 8),  # small rows: the batch costs more outside of the model than in it
        ([(4, 0.040), (4, 0.041)], 8),  # one size says nothing about others
    ],
)
def test_a_batch_grows_only_as_far_as_rows_become_cheaper(
    observations: list[tuple[int, float]], worthwhile: int
) -> None:
    assert learned(*observations).worthwhile_rows(8) == worthwhile


def test_a_worthwhile_size_is_kept_as_long_as_measurements_are_about_the_same() -> None:
    model = learned((1, 0.107), (8, 0.807))
    for fixed_s in (0.005, 0.006, 0.008, 0.009):
        for _ in range(9):
            model.observe(1, 0.1 + fixed_s)
            model.observe(8, 0.8 + fixed_s)
        assert model.worthwhile_rows(64) == 5
    for _ in range(9):
        model.observe(1, 0.1 + 0.05)
        model.observe(8, 0.8 + 0.05)
    assert model.worthwhile_rows(64) > 20


def test_less_time_than_the_fastest_batch_took_is_hopeless() -> None:
    model = learned((8, 0.020), (1, 0.010), (8, 0.030))
    assert model.hopeless(0.009)
    assert not model.hopeless(0.011)
    assert not LatencyModel().hopeless(0.0), "nothing was seen yet"


def test_somebody_is_let_through_in_time_to_find_out_whether_a_slow_model_has_become_fast() -> None:
    model = learned((1, 2.0))  # the first batch after a load
    refused = 0
    while model.hopeless(0.5):
        refused += 1
    assert refused < 100
    model.observe(1, 0.01)
    assert not model.hopeless(0.02)
