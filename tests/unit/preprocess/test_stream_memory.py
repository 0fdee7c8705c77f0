"""Which tensors of a stream go through memory, and that they lie there as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lepton_ai.mesh.leased_memory.owner import LeasedMemory
from lepton_ai.mesh.leased_memory.reader import OpenedMemory
from lepton_ai.tensors import Array
from lepton_ai.v1 import preprocess_pb2
from services.preprocess.stream_memory import NOWHERE, StreamMemory, make_memory

LARGE = np.arange(8192, dtype=np.float32).reshape(2, 64, 64)


@pytest.fixture
def memory() -> Iterator[LeasedMemory]:
    memory = LeasedMemory(1 << 20)
    yield memory
    memory.close()


def opened(memory: LeasedMemory) -> StreamMemory:
    stream = StreamMemory(memory)
    stream.hear(preprocess_pb2.MemoryUse(opened=memory.offer().token))
    return stream


def test_it_is_offered_once_and_used_only_when_the_client_shows_that_it_has_opened_it(memory: LeasedMemory) -> None:
    stream, wanted = StreamMemory(memory), preprocess_pb2.MemoryUse(wanted=True)
    offer = stream.hear(wanted)
    assert offer is not None
    assert stream.hear(wanted) is None
    assert stream.place({"x": LARGE}) is NOWHERE
    stream.hear(preprocess_pb2.MemoryUse(opened=b"something else"))
    assert stream.place({"x": LARGE}) is NOWHERE
    stream.hear(preprocess_pb2.MemoryUse(opened=offer.token))
    assert stream.place({"x": LARGE}).regions.keys() == {"x"}


@pytest.mark.parametrize(
    "array",
    [LARGE, LARGE.transpose(2, 0, 1), LARGE[:, ::2], LARGE > 5, LARGE.astype(np.float16), LARGE.astype(np.int64)],
    ids=["as it is", "transposed", "with gaps", "bool", "half", "int64"],
)
def test_an_array_lies_there_as_it_would_in_a_message(memory: LeasedMemory, array: Array) -> None:
    placed = opened(memory).place({"other": LARGE, "x": array})
    if array.nbytes < 16 << 10:
        assert placed.regions.keys() == {"other"}
        return
    reader = OpenedMemory.open(memory.offer())
    assert placed.lease is not None
    assert reader.copy(placed.lease, [placed.regions["x"], placed.regions["other"]]) == [
        array.tobytes(),
        LARGE.tobytes(),
    ]
    reader.close()


def test_small_arrays_and_texts_stay_in_messages(memory: LeasedMemory) -> None:
    texts = np.array(["a long text"] * 10_000, dtype=object)
    assert opened(memory).place({"small": LARGE[:, :1], "texts": texts, "fixed": texts.astype(str)}) is NOWHERE
    assert memory.held_bytes == 0


def test_what_is_released_makes_room_and_what_finds_none_stays_in_messages(memory: LeasedMemory) -> None:
    stream, half = opened(memory), np.zeros(512 << 10, dtype=np.uint8)
    first = stream.place({"x": half})
    assert first.lease is not None
    assert stream.place({"x": half}) is NOWHERE
    stream.hear(preprocess_pb2.MemoryUse(released=[first.lease.number]))
    assert stream.place({"x": half}).lease is not None
    stream.leave()
    assert stream.place({"x": LARGE}) is NOWHERE


def test_there_is_none_where_there_is_to_be_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert make_memory(0) is None

    def refused(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.memfd_create", refused)
    assert make_memory(1 << 20) is None
    assert "Operation not permitted" in caplog.text
