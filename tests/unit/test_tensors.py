"""Arrays to wire form and back: texts and bytes keep every byte, and what makes no tensor is refused with its field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import decode_bytes, encode_bytes, from_proto, from_wire, to_proto, to_wire

ZEROS = b"ab\x00\x00"


def elements(array: Any) -> list[bytes]:
    dtype, shape, data = to_wire(array)
    assert dtype == "BYTES"
    return decode_bytes(data, expected=int(np.prod(shape)))


@pytest.mark.parametrize(
    ("array", "wanted", "shape"),
    [
        ([ZEROS, b"\x00"], [ZEROS, b"\x00"], (2,)),
        ((ZEROS,), [ZEROS], (1,)),
        (ZEROS, [ZEROS], ()),
        ([[ZEROS], [b""]], [ZEROS, b""], (2, 1)),
        ([["a\0", "北京\0"]], [b"a\0", "北京\0".encode()], (1, 2)),
        ([b"a\0", "b\0"], [b"a\0", b"b\0"], (2,)),
        (np.array([ZEROS, "b\0"], dtype=object), [ZEROS, b"b\0"], (2,)),
        ([np.str_("a\0"), np.bytes_(ZEROS)], [b"a\0", ZEROS], (2,)),
        (np.array(["Zürich", ""]), ["Zürich".encode(), b""], (2,)),
    ],
)
def test_every_byte_of_texts_and_bytes_arrives(array: Any, wanted: list[bytes], shape: tuple[int, ...]) -> None:
    assert elements(array) == wanted
    assert to_wire(array)[1] == shape
    assert from_proto(to_proto("x", array)).ravel().tolist() == wanted


@given(st.lists(st.one_of(st.binary(), st.text(alphabet=st.characters(exclude_categories=["Cs"]))), min_size=1))
def test_any_list_of_texts_and_bytes_comes_back(values: list[bytes | str]) -> None:
    wanted = [value.encode() if isinstance(value, str) else value for value in values]
    dtype, shape, data = to_wire(values)
    assert from_wire(dtype, shape, data).tolist() == wanted


@pytest.mark.parametrize("values", [[1, 2], [1.5, 2], [[True]], np.zeros((2, 3), np.int16), 3])
def test_numbers_are_sent_as_numpy_takes_them(values: Any) -> None:
    array = np.asarray(values)
    dtype, shape, data = to_wire(values)
    assert dtype != "BYTES"
    assert np.array_equal(from_wire(dtype, shape, data), array)
    assert from_wire(dtype, shape, data).dtype == array.dtype


@pytest.mark.parametrize(
    "values",
    [
        [b"a", 1],
        ["a", 1.5],
        ["a", None],
        np.array([1, 2], dtype=object),
        [[1, 2], [3]],
        [["a"], ["b", "c"]],
        ["\ud800"],
        np.array(["a\udcff"], dtype=object),
        {"a": 1},
        [1 + 2j],
    ],
)
def test_what_makes_no_tensor_is_refused_with_its_name(values: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        to_proto("words", values)
    str(raised.value).encode()
    if raised.value.fields:
        assert raised.value.fields[0].field == "words"


def test_half_a_surrogate_pair_is_named_with_its_place() -> None:
    with pytest.raises(InvalidInput, match=r"words: .*U\+D800 at character 2"):
        encode_bytes(["ab\ud800"], field="words")
