"""Counts of inputs can be added in any order and however they were divided, and their bins hold every row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.bins import Bins
from lepton_ai.inputs.counts import MAX_FEATURES, Feature, FeatureCounts, InputCounts, rounded
from lepton_ai.inputs.messages import read_counts, write_counts
from lepton_ai.v1 import drift_pb2

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.none() | st.integers(0, 5).map(float)
categories = st.sampled_from(["yes", "no", "猫", ""]) | st.text(max_size=80) | st.none()
rows = st.lists(st.tuples(numbers, categories), max_size=30)


def features(row: tuple[float | None, str | None]) -> list[Feature]:
    return [("age", "number", row[0]), ("contract", "category", row[1])]


def counted(values: list[tuple[float | None, str | None]]) -> InputCounts:
    counts = InputCounts()
    for row in values:
        counts.add(features(row))
    return counts


@given(rows, rows, rows)
def test_counts_of_parts_are_the_counts_of_the_whole(
    first: list[tuple[float | None, str | None]],
    second: list[tuple[float | None, str | None]],
    third: list[tuple[float | None, str | None]],
) -> None:
    one, two, three = counted(first), counted(second), counted(third)
    assert (one + two) + three == one + (two + three) == counted(first + second + third)
    assert one + two == two + one


@given(rows)
def test_every_row_falls_into_one_bin(values: list[tuple[float | None, str | None]]) -> None:
    for each in counted(values).features.values():
        bins = Bins.of(each)
        placed = bins.place(each)
        assert sum(placed) == len(values) == each.count
        assert placed[0] == each.missing
        assert len(placed) == len(bins) == len(bins.labels()) <= 32


@given(rows, rows)
def test_bins_of_a_sum_are_the_sums_of_bins(
    first: list[tuple[float | None, str | None]], second: list[tuple[float | None, str | None]]
) -> None:
    one, two = counted(first), counted(second)
    for name, each in one.features.items():
        if name in two.features:
            bins, other = Bins.of(each), two.features[name]
            assert bins.place(each + other) == np.add(bins.place(each), bins.place(other)).tolist()


@given(rows)
def test_counts_arrive_as_they_were_sent(values: list[tuple[float | None, str | None]]) -> None:
    counts, message = counted(values), drift_pb2.CountedInputs()
    write_counts(counts, message)
    assert read_counts(drift_pb2.CountedInputs.FromString(message.SerializeToString())) == counts


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_numbers_are_rounded_to_four_digits(number: float) -> None:
    assert math.isclose(rounded(number), number, rel_tol=1.3e-4, abs_tol=0.0)
    assert rounded(rounded(number)) == rounded(number)


@pytest.mark.parametrize("year", range(1990, 2031))
def test_years_stay_apart(year: int) -> None:
    assert rounded(float(year)) == year


def test_numbers_fall_into_bins_of_about_equal_counts() -> None:
    counts = FeatureCounts("number")
    for value in np.random.default_rng(0).normal(size=5000).tolist():
        counts.add(value)
    missing, below, *inner, above = Bins.of(counts).place(counts)
    assert (missing, below, above) == (0, 0, 0)
    assert len(inner) == 20
    assert max(inner) < 300


def test_few_values_have_bins_of_their_own_and_what_is_beyond_them_is_seen() -> None:
    counts = FeatureCounts("number")
    for value in [0.0] * 90 + [1.0] * 9 + [2.0]:
        counts.add(value)
    bins = Bins.of(counts)
    assert dict(zip(bins.labels(), bins.place(counts), strict=True)) == {
        "missing": 0, "< 0": 0, "0": 90, "1": 9, "2": 1, "> 2": 0,
    }  # fmt: skip


def test_rare_categories_share_bins_by_their_hash() -> None:
    counts = FeatureCounts("category")
    for number in range(3000):
        counts.add("frequent" if number % 2 else f"user {number}")
    bins = Bins.of(counts)
    assert bins.names == ("frequent",)
    assert len(bins) == 12


def test_features_beyond_the_bound_are_left_out() -> None:
    counts = InputCounts()
    counts.add((f"x{number}", "number", 1.0) for number in range(MAX_FEATURES + 5))
    assert len((counts + counts).features) == MAX_FEATURES


@pytest.mark.parametrize(
    "feature",
    [
        drift_pb2.CountedFeature(name="x", numbers=[1.0], counts=[]),
        drift_pb2.CountedFeature(name="x", numbers=[math.nan], counts=[1]),
        drift_pb2.CountedFeature(name="", numbers=[1.0], counts=[1]),
        drift_pb2.CountedFeature(name="x", numbers=[1.0], categories=["a"], counts=[1]),
        drift_pb2.CountedFeature(name="x", is_category=True, numbers=[1.0], counts=[1]),
    ],
)
def test_counts_that_do_not_fit_together_are_refused(feature: drift_pb2.CountedFeature) -> None:
    with pytest.raises(InvalidInput):
        read_counts(drift_pb2.CountedInputs(rows=1, features=[feature]))
