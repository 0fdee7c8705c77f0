"""Hashes of cells: equal for equal content whatever its type in Arrow, and different for all else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lepton_ai.datasets import Column
from lepton_ai.datasets.profile.values import cell_hashes, missing_cells

NUMBER, CATEGORY, TEXT, TENSOR = (Column("c", kind) for kind in ("number", "category", "text", "tensor"))


@pytest.mark.parametrize(
    ("one", "other", "column"),
    [
        (pa.array([3, 0, None]), pa.array([3.0, -0.0, float("nan")]), NUMBER),
        (pa.array(["猫", "狗", None]), pa.array(["猫", "狗", None]).dictionary_encode(), CATEGORY),
        (pa.array(["猫", "狗"]), pa.array(["猫", "狗"], pa.large_string()), TEXT),
    ],
)
def test_equal_values_hash_alike_in_every_type(one: pa.Array, other: pa.Array, column: Column) -> None:
    assert cell_hashes(one, column, 0).tolist() == cell_hashes(other, column, 0).tolist()


@pytest.mark.parametrize(
    ("array", "column"),
    [
        (pa.array([2**60, 2**60 + 1, 2**60 + 2]), CATEGORY),
        (pa.array([0.1, 0.1 + 1e-16, 0.2]), NUMBER),
        (pa.array(["", " ", None]), TEXT),
        (pa.array([[1, 2], [2, 1], [1, None], []]), TENSOR),
        (pa.array([["一"], ["二"], None]), TENSOR),
        (pa.array([{"a": 1}, {"a": 2}, None]), TEXT),
        (pa.array([True, False, None]), CATEGORY),
    ],
)
def test_different_values_hash_differently(array: pa.Array, column: Column) -> None:
    assert len(np.unique(cell_hashes(array, column, 0))) == len(array)


def test_blank_texts_and_texts_that_are_no_numbers_are_missing() -> None:
    assert missing_cells(pa.array(["好", " \u3000", "", None]), TEXT).tolist() == [False, True, True, True]
    assert missing_cells(pa.array(["1,200", "很多", None]), NUMBER).tolist() == [False, True, True]
