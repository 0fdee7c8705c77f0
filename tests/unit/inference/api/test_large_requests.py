"""Requests with files are read in place: the same values as protobuf's own, and no copy of a file."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.api.large_requests import decode_request, message_of
from services.inference.cache.keys import item_fingerprint, item_key
from services.inference.item import ItemView
from services.inference.triton.items import item_row

PHOTO = bytes(range(256)) * 4096
SEED = bytes(32)


def item(item_id: str = "", **files: bytes) -> common_pb2.Item:
    return common_pb2.Item(id=item_id, inputs={name: common_pb2.Value(data=data) for name, data in files.items()})


def request(*items: common_pb2.Item) -> inference_pb2.PredictRequest:
    options = inference_pb2.PredictOptions(top_k=3, outputs=["logits"], routing_key="k")
    model = common_pb2.ModelRef(name="colours", alias="canary")
    return inference_pb2.PredictRequest(model=model, items=items, options=options, request_id="r")


names = st.text(max_size=4)
many = st.lists(
    st.tuples(names, st.dictionaries(names, st.binary(max_size=20) | st.just(PHOTO[:9000]), max_size=3)), max_size=4
)


@settings(deadline=None)
@given(many)
def test_a_large_request_says_the_same_as_its_message(described: list[tuple[str, dict[str, bytes]]]) -> None:
    items = [
        common_pb2.Item(id=item_id, inputs={name: common_pb2.Value(data=data) for name, data in files.items()})
        for item_id, files in described
    ]
    message = request(item("last", photo=PHOTO[:20_000]), *items)
    read = decode_request(memoryview(message.SerializeToString()))
    assert (read.model, read.options, read.request_id) == (message.model, message.options, message.request_id)
    assert not read.tensors
    assert message_of(read) == message
    for ours, theirs in zip(read.items, message.items, strict=True):
        assert isinstance(ours, ItemView)
        assert ours.id == theirs.id
        assert {name: bytes(value.data) for name, value in ours.inputs.items()} == {
            name: value.data for name, value in theirs.inputs.items()
        }
        assert common_pb2.Item.FromString(bytes(ours.SerializeToString())) == theirs
        assert item_key(SEED, ours) == item_key(SEED, theirs)
        assert item_fingerprint(ours) == item_fingerprint(theirs)


def test_very_many_items_are_read_by_protobuf() -> None:
    raw = request(*[item(x=b"a")] * 10_000).SerializeToString()
    assert isinstance(decode_request(raw), inference_pb2.PredictRequest)


def test_what_holds_anything_but_files_is_read_by_protobuf() -> None:
    mixed = item(photo=PHOTO)
    mixed.inputs["age"].number = 3
    message = request(item(photo=PHOTO), mixed)
    assert decode_request(message.SerializeToString()) == message


@pytest.mark.parametrize("damage", [b"\x12\xff\xff\xff\x7f", b"\x12\x02\x0a\x05", b"\x12\x04\x0a\x02\xff\xfe"])
def test_what_is_no_request_is_refused_as_protobuf_refuses_it(damage: bytes) -> None:
    raw = request(item(photo=PHOTO)).SerializeToString() + damage
    with pytest.raises(DecodeError):
        inference_pb2.PredictRequest.FromString(raw)
    with pytest.raises(DecodeError):
        decode_request(raw)


def test_a_photo_is_not_copied_for_its_key_nor_for_its_batch_until_that_is_written() -> None:
    raw = request(item(photo=PHOTO)).SerializeToString()
    tracemalloc.start()
    try:
        (view,) = decode_request(raw).items
        item_key(SEED, view)
        (tensor,) = item_row(view).tensors
        assert tracemalloc.get_traced_memory()[1] < len(PHOTO) // 4
    finally:
        tracemalloc.stop()
    assert tensor.head + tensor.data == struct.pack("<I", view.ByteSize()) + view.SerializeToString()
