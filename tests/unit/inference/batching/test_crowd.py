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


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (4, 4),
        (5, 5),  # one would be left, which is the one more than equal batches
        (6, 4),  # two would be: a group that is late, they share the next batch with it
        (8, 4),
    ],
)
def test_a_row_more_than_equal_batches_is_not_left_behind_alone(waiting: int, expected: int) -> None:
    assert crowd_of(17).even_rows(2, 8, waiting) == expected
    assert crowd_of(16).even_rows(2, 8, waiting) == 4, "of a crowd that equal batches hold, nobody is one too many"


@given(st.integers(0, 5000), st.integers(1, 8), st.integers(1, 256), st.integers(0, 300))
def test_no_batch_is_larger_than_it_may_be_nor_empty(rows: int, instances: int, most: int, waiting: int) -> None:
    assert 1 <= crowd_of(rows).even_rows(instances, most, waiting) <= most


def test_a_crowd_that_has_left_is_forgotten() -> None:
    crowd = crowd_of(64)
    for _ in range(40):
        crowd.fade()
        crowd.see(4)
    assert crowd.even_rows(2, 8) == 2
