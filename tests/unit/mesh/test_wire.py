"""Fields of a message as protobuf lays them out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.mesh.wire import Malformed, fields, head, tag
from lepton_ai.v1 import common_pb2


def found(message: bytes) -> list[tuple[int, bytes]]:
    return [(each, message[begin:end]) for each, _, begin, end in fields(memoryview(message))]


def test_fields_of_every_kind_are_found() -> None:
    value = common_pb2.Value(tensor=common_pb2.Tensor(name="x", dtype=common_pb2.DATA_TYPE_FP32, shape=[300, 1]))
    tensor = value.tensor.SerializeToString()
    assert found(value.SerializeToString()) == [(tag(6), tensor)]
    assert [each & 7 for each, _ in found(tensor)] == [2, 0, 2]
    assert found(common_pb2.Value(number=1.5).SerializeToString())[0][1] == bytes.fromhex("000000000000f83f")


@given(st.binary(max_size=300), st.integers(1, 15))
def test_what_is_written_behind_its_head_is_found_again(content: bytes, number: int) -> None:
    assert found(head(number, len(content)) + content) == [(tag(number), content)]


@given(st.binary(max_size=40))
def test_bytes_that_are_no_message_are_refused_and_fields_never_lie_outside(data: bytes) -> None:
    try:
        ends = [end for *_, end in fields(memoryview(data))]
    except Malformed:
        return
    assert not data or ends[-1] == len(data)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05abc", b"\x80", b"\x0b", b"\x08" + b"\xff" * 11])
def test_cut_off_messages_groups_and_endless_numbers_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        found(data)
