"""What a stream says of its replica's memory, and when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.leased_memory.owner import Holder, Lease, LeasedMemory
from lepton_ai.testing import eventually
from lepton_ai.v1 import common_pb2, preprocess_pb2
from services.inference.preprocessing.memory import StreamMemory


class Replica:
    """A replica's memory with one tensor in it."""

    def __init__(self) -> None:
        self.memory = LeasedMemory(64 << 10)
        self.holder = Holder()
        lease = self.memory.take(5, self.holder)
        assert lease is not None
        self.memory.view(lease)[:5] = b"large"
        self.memory.written(lease)
        self.lease: Lease = lease

    def answer(self) -> preprocess_pb2.ItemResult:
        region = common_pb2.SharedMemoryRegion(offset_bytes=self.lease.begin, length_bytes=5)
        tensors = [
            common_pb2.Tensor(name="a", dtype=common_pb2.DATA_TYPE_UINT8, shape=[5], data=b"small"),
            common_pb2.Tensor(name="b", dtype=common_pb2.DATA_TYPE_UINT8, shape=[5], shared_memory=region),
        ]
        lease = preprocess_pb2.MemoryLease(number=self.lease.number, slot=self.lease.slot)
        return preprocess_pb2.ItemResult(tensors=common_pb2.TensorList(tensors=tensors), lease=lease)


@pytest.fixture
def replica() -> Iterator[Replica]:
    replica = Replica()
    yield replica
    replica.memory.close()


class Said(StreamMemory):
    """Notes how often it wanted to say something at once."""

    def __init__(self) -> None:
        self.woken = 0
        super().__init__(self._note)

    def _note(self) -> None:
        self.woken += 1

    def use(self) -> preprocess_pb2.MemoryUse:
        return preprocess_pb2.PreprocessStreamRequest.FromString(self.told()).memory


async def test_the_first_message_asks_for_memory_and_one_of_its_own_says_that_it_is_opened(replica: Replica) -> None:
    said = Said()
    assert said.use() == preprocess_pb2.MemoryUse(wanted=True)
    assert said.told() == b""
    said.open(replica.memory.offer())
    assert (said.is_due, said.woken) == (True, 1)
    assert replica.memory.is_this(said.use().opened)
    assert not said.is_due
    said.close()


async def test_tensors_are_there_from_both_ways_and_their_lease_is_released_with_the_next_message(
    replica: Replica,
) -> None:
    said = Said()
    said.open(replica.memory.offer())
    said.told()
    made = said.take(replica.answer())
    replica.memory.release([replica.lease.number], replica.holder)
    assert [(tensor.name, tensor.data) for tensor in made.tensors()] == [("a", b"small"), ("b", b"large")]
    assert [tensor.data for tensor in made.to_proto().tensors.tensors] == [b"small", b"large"]
    assert made.size_bytes > 10
    assert not said.is_due
    assert list(said.use().released) == [replica.lease.number]
    said.close()


async def test_a_lease_is_released_without_another_message_before_long(replica: Replica) -> None:
    said = Said()
    said.drop(replica.answer())
    await eventually(lambda: said.is_due and said.woken, description="it is said")
    assert list(said.use().released) == [replica.lease.number]


async def test_tensors_that_are_gone_are_found_out(replica: Replica) -> None:
    said = Said()
    said.open(replica.memory.offer())
    said.told()
    replica.memory.release([replica.lease.number], replica.holder)
    with pytest.raises(Unavailable):
        said.take(replica.answer())
    assert list(said.use().released) == [replica.lease.number]
    said.close()


async def test_memory_that_is_not_there_is_not_spoken_of(replica: Replica) -> None:
    said = Said()
    said.told()
    offer = replica.memory.offer()
    offer.token = bytes(32)
    said.open(offer)
    assert (said.told(), said.woken) == (b"", 0)
