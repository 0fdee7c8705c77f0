from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.batching.crowd import Crowd


def crowd_of(rows: int) -> Crowd:
    crowd = Crowd()
    crowd.see(rows)
    return crowd


@pytest.mark.parametrize(
    ("rows", "instances", "most", "expected"),
    [
        (16, 2, 5, 4),  # four groups instead of 5, 5 and 6
        (16, 2, 8, 4),  # an instance works while the callers of its other batch ask again
        (17, 2, 8, 4),  # nor does one caller more make them uneven
        (6, 2, 8, 3),  # but not with single rows
        (3, 2, 8, 2),  # both instances work
        (0, 2, 8, 1),
        (100, 1, 8, 8),
    ],
)
def test_batches_have_one_size_and_each_instance_gets_as_many(
    rows: int, instances: int, most: int, expected: int
) -> None:
    assert crowd_of(rows).even_rows(instances, most) == expected


@given(st.integers(0, 5000), st.integers(1, 8), st.integers(1, 256))
def test_no_batch_is_larger_than_it_may_be_nor_empty(rows: int, instances: int, most: int) -> None:
    assert 1 <= crowd_of(rows).even_rows(instances, most) <= most


def test_a_crowd_that_has_left_is_forgotten() -> None:
    crowd = crowd_of(64)
    for _ in range(40):
        crowd.fade()
        crowd.see(4)
    assert crowd.even_rows(2, 8) == 2
