"""Joining callers' rows into a batch and cutting its answer apart again, for every dtype."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.dtypes import DTYPES, ELEMENT_BYTES
from lepton_ai.errors import InternalError
from lepton_ai.tensors import encode_bytes
from services.inference.rows import NamedTensor, Rows, join, split

SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
COUNTS = st.lists(st.integers(1, 4), min_size=1, max_size=6)


def content(dtype: str, elements: int, source: random.Random) -> bytes:
    if dtype == "BYTES":
        return encode_bytes(source.randbytes(source.randint(0, 5)) for _ in range(elements))
    return source.randbytes(elements * ELEMENT_BYTES[dtype])


def rows(count: int, dtype: str, row_shape: tuple[int, ...], source: random.Random) -> Rows:
    elements = count
    for dimension in row_shape:
        elements *= dimension
    return Rows(count, (NamedTensor("x", dtype, (count, *row_shape), content(dtype, elements, source)),))


@given(counts=COUNTS, dtype=st.sampled_from(DTYPES), row_shape=SHAPES, seed=st.integers(0, 1000))
def test_what_was_joined_splits_into_the_same_parts(
    counts: list[int], dtype: str, row_shape: tuple[int, ...], seed: int
) -> None:
    source = random.Random(seed)
    parts = [rows(count, dtype, row_shape, source) for count in counts]
    joined = join(parts)
    assert joined.count == sum(counts)
    assert split(joined, counts) == parts


def test_rows_of_equal_layout_share_a_batch_whatever_their_number() -> None:
    source = random.Random(1)
    one, two = rows(1, "FP32", (3,), source), rows(2, "FP32", (3,), source)
    assert one.layout == two.layout
    assert one.layout != rows(1, "FP32", (4,), source).layout
    assert one.layout != rows(1, "INT32", (3,), source).layout


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (NamedTensor("y", "FP32", (3, 1), bytes(12)), "WRONG_ROW_COUNT"),
        (NamedTensor("y", "FP32", (), bytes(4)), "WRONG_ROW_COUNT"),
        (NamedTensor("y", "FP32", (2, 1), bytes(7)), "WRONG_CONTENT_LENGTH"),
        (NamedTensor("y", "BYTES", (2, 1), encode_bytes([b"a"])), "WRONG_CONTENT_LENGTH"),
        (NamedTensor("y", "BYTES", (2, 1), encode_bytes([b"a", b"b", b"c"])), "WRONG_CONTENT_LENGTH"),
        (NamedTensor("y", "BYTES", (2, 1), b"\xff\xff\xff\xff"), "WRONG_CONTENT_LENGTH"),
    ],
)
def test_an_answer_that_does_not_fit_is_never_handed_out(tensor: NamedTensor, reason: str) -> None:
    with pytest.raises(InternalError) as error:
        split(Rows(2, (tensor,)), [1, 1])
    assert error.value.reason == reason
