"""Packed rows: every number comes back as it was, and what changes little takes little room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.health.metrics.series import STALE, is_stale
from services.health.metrics.storage.chunk import Chunk, pack

values = (
    st.floats(allow_nan=True, allow_infinity=True)
    | st.integers(-(2**60), 2**60).map(float)
    | st.integers(0, 300).map(float)
    | st.just(float(STALE))
)
tables = st.integers(1, 9).flatmap(
    lambda rows: st.lists(st.lists(values, min_size=rows, max_size=rows), max_size=6).map(
        lambda columns: np.array(columns, np.float64).reshape(len(columns), rows)
    )
)


def same(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Bit by bit, but for the sign of zeros."""
    return left.shape == right.shape and bool(((left == right) | (left.view(np.uint64) == right.view(np.uint64))).all())


@settings(max_examples=60, deadline=None)
@given(tables)
def test_every_number_comes_back(columns: NDArray[np.float64]) -> None:
    times = 1.7e9 + 5.0 * np.arange(columns.shape[1])
    chunk = pack(times, columns.T)
    for each in (chunk, Chunk.from_bytes(chunk.to_bytes())):
        assert same(each.read(range(len(columns))), columns)
        assert (each.times_s == times).all()


def test_columns_are_read_in_any_order_and_later_ones_are_not_there() -> None:
    columns = np.array([[1.0, 1.0], [1.0, 2.0], [0.5, 0.25], [0.0, 2.0**31]])
    read = pack(np.array([1.0, 2.0]), columns.T).read([3, 7, 0, 2])
    assert (read[[0, 2, 3]] == columns[[3, 0, 2]]).all()
    assert is_stale(read[1]).all()


def test_constants_take_nothing_and_counters_two_bytes_a_sample() -> None:
    rows = 120
    times = np.arange(rows, dtype=np.float64)
    still = pack(times, np.ones((rows, 100)))
    assert still.size_bytes < 100 * 20 + rows * 8
    counting = pack(times, np.outer(np.arange(rows), np.ones(100)) + 1e9)
    assert counting.size_bytes - still.size_bytes == rows * 100 * 2


@pytest.mark.parametrize("broken", [b"", b"x", pack(np.array([1.0]), np.ones((1, 3))).to_bytes()[:-4]])
def test_what_is_no_chunk_is_refused(broken: bytes) -> None:
    import struct
    import zlib

    with pytest.raises((ValueError, struct.error, zlib.error)):
        Chunk.from_bytes(broken)
