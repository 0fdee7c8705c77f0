"""How far outputs are from one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.tensors import to_wire
from services.inference.predict.distances import FARTHEST, row_distances
from services.inference.rows import NamedTensor, Rows


def rows(*values: object, dtype: str = "float32", name: str = "y") -> Rows:
    kind, shape, data = to_wire(np.array(values, dtype=dtype))
    return Rows(len(values), (NamedTensor(name, kind, shape, data),))


def test_the_same_is_no_distance_and_the_opposite_the_greatest() -> None:
    assert row_distances(rows([1, 2], [3, 4]), rows([1, 2], [-3, -4])) == [0.0, FARTHEST]


def test_numbers_differ_relative_to_the_longer_of_both() -> None:
    assert row_distances(rows([10.0, 0.0]), rows([9.0, 0.0])) == pytest.approx([0.1])


def test_nothing_beside_something_is_far() -> None:
    assert row_distances(rows([0.0, 0.0]), rows([1e-9, 0.0])) == pytest.approx([1.0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_equals_itself_alone(value: float) -> None:
    assert row_distances(rows([value, 1.0]), rows([value, 1.0])) == [0.0]
    assert row_distances(rows([value, 1.0]), rows([2.0, 1.0])) == [FARTHEST]
    assert row_distances(rows([value, 2.0]), rows([value, 1.0])) == pytest.approx([0.5])


def test_of_whole_numbers_and_texts_the_share_that_differs_counts() -> None:
    assert row_distances(rows([1, 2, 3, 4], dtype="int64"), rows([1, 2, 3, 5], dtype="int64")) == [0.25]
    assert row_distances(rows(["猫", "狗"], dtype="object"), rows(["猫", "鸟"], dtype="object")) == [0.5]


def test_half_precision_of_both_kinds_is_compared_as_numbers() -> None:
    assert row_distances(rows([2.0], dtype="float16"), rows([1.0], dtype="float16")) == [0.5]
    two, one = (NamedTensor("y", "BF16", (1, 1), np.uint16(bits).tobytes()) for bits in (0x4000, 0x3F80))
    assert row_distances(Rows(1, (two,)), Rows(1, (one,))) == [0.5]


@pytest.mark.parametrize(
    "other", [rows([1.0, 2.0, 3.0]), rows([1.0, 2.0], name="z"), rows([1.0, 2.0], dtype="float64"), Rows(1, ())]
)
def test_what_cannot_be_compared_is_far(other: Rows) -> None:
    assert row_distances(rows([1.0, 2.0]), other) == [FARTHEST]


def test_of_several_outputs_the_farthest_counts() -> None:
    def both(a: float, b: float) -> Rows:
        return Rows(1, (*rows([a]).tensors, *rows([b], name="z").tensors))

    assert row_distances(both(1.0, 1.0), both(1.0, 0.5)) == [0.5]


@given(st.lists(st.floats(width=32), min_size=2, max_size=2), st.lists(st.floats(width=32), min_size=2, max_size=2))
def test_a_distance_is_at_most_two_and_the_same_from_both_sides(a: list[float], b: list[float]) -> None:
    (distance,), (back,) = row_distances(rows(a), rows(b)), row_distances(rows(b), rows(a))
    assert 0.0 <= distance <= FARTHEST + 1e-12
    assert distance == pytest.approx(back)
