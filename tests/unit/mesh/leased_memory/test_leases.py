"""Leases: written, read, released, taken back; and nobody ever reads what is not (any more) his."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.mesh.leased_memory import layout
from lepton_ai.mesh.leased_memory.owner import LEASE_S, PARTING_S, Holder, Lease, LeasedMemory
from lepton_ai.mesh.leased_memory.reader import OpenedMemory
from lepton_ai.v1 import common_pb2, preprocess_pb2

KIB = 1 << 10
ROOT = Path(__file__).parents[4]


class Both:
    """Both ends of a memory of 64 KiB, and a clock that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.memory = LeasedMemory(64 * KIB, clock=lambda: self.now_s)
        self.reader = OpenedMemory.open(self.memory.offer())

    def write(self, content: bytes, holder: Holder) -> Lease | None:
        """A lease with this content, which its reader may be told of; None when there is no room."""
        lease = self.memory.take(len(content), holder)
        if lease is not None:
            self.memory.view(lease)[: len(content)] = content
            assert self.memory.written(lease)
        return lease

    def read(self, lease: Lease, size_bytes: int) -> bytes | None:
        region = common_pb2.SharedMemoryRegion(offset_bytes=lease.begin, length_bytes=size_bytes)
        contents = self.reader.copy(preprocess_pb2.MemoryLease(number=lease.number, slot=lease.slot), [region])
        return None if contents is None else contents[0]

    def close(self) -> None:
        self.reader.close()
        self.memory.close()


@pytest.fixture
def both() -> Iterator[Both]:
    both = Both()
    yield both
    both.close()


def taken(both: Both, content: bytes, holder: Holder) -> Lease:
    lease = both.write(content, holder)
    assert lease is not None
    return lease


def test_what_was_written_is_read_until_it_is_released(both: Both) -> None:
    holder, content = Holder(), os.urandom(5000)
    lease = taken(both, content, holder)
    assert both.read(lease, 5000) == content
    both.memory.release([lease.number], holder)
    assert both.read(lease, 5000) is None
    assert both.memory.held_bytes == 0


def test_a_range_that_was_given_to_another_lease_is_not_read_for_the_old_one(both: Both) -> None:
    holder = Holder()
    old = taken(both, b"o" * KIB, holder)
    both.memory.release([old.number], holder)
    new = taken(both, b"n" * KIB, holder)
    assert (new.begin, new.slot) == (old.begin, old.slot)
    assert both.read(old, KIB) is None
    assert both.read(new, KIB) == b"n" * KIB


def test_a_holder_gets_half_and_all_of_them_no_more_than_there_is(both: Both) -> None:
    one, two, three = Holder(), Holder(), Holder()
    assert [both.write(bytes(16 * KIB), one) is not None for _ in range(3)] == [True, True, False]
    assert [both.write(bytes(16 * KIB), two) is not None for _ in range(2)] == [True, True]
    assert both.write(b"x", three) is None
    both.memory.release(list(one.leases)[:1], one)
    assert both.write(b"x", three) is not None


def test_only_its_holder_releases_a_lease(both: Both) -> None:
    lease = taken(both, b"mine", Holder())
    both.memory.release([lease.number, 12345], Holder())
    assert both.read(lease, 4) == b"mine"


def test_a_lease_that_is_never_released_ends_when_its_time_is_over_and_room_is_needed(both: Both) -> None:
    holder = Holder()
    leases = [taken(both, bytes(16 * KIB), holder) for _ in range(2)]
    both.now_s = LEASE_S - 1
    assert both.write(b"x", holder) is None
    both.now_s = LEASE_S
    assert both.write(b"x", holder) is not None
    assert [both.read(lease, KIB) for lease in leases] == [None, None]


def test_leases_outlive_their_connection_by_a_moment_as_its_last_answers_are_under_way(both: Both) -> None:
    holder, other = Holder(), Holder()
    lease = taken(both, bytes(32 * KIB), holder)
    taken(both, bytes(32 * KIB), other)
    both.memory.leave(holder)
    assert both.write(b"x", Holder()) is None
    assert both.read(lease, KIB) == bytes(KIB)
    both.now_s = PARTING_S
    assert both.write(b"x", Holder()) is not None
    assert both.read(lease, KIB) is None


def test_what_is_being_written_is_not_taken_back_and_ends_when_it_is_written_for_nobody(both: Both) -> None:
    holder = Holder()
    lease = both.memory.take(32 * KIB, holder)
    assert lease is not None
    both.memory.release([lease.number], holder)
    both.memory.leave(holder)
    both.now_s = 10 * LEASE_S
    assert taken(both, bytes(32 * KIB), Holder()).begin != lease.begin
    assert both.read(lease, KIB) is None, "nobody reads half of it"
    assert not both.memory.written(lease)
    assert both.write(b"x", holder) is None, "who has left gets nothing more"
    assert both.write(b"x", Holder()) is not None


def test_a_lease_that_could_not_be_written_leaves_nothing(both: Both) -> None:
    lease = both.memory.take(KIB, Holder())
    assert lease is not None
    both.memory.end(lease)
    assert both.memory.held_bytes == 0


def test_what_lies_outside_is_not_read(both: Both) -> None:
    lease = taken(both, b"x", Holder())
    assert both.read(lease, 1 << 60) is None
    region = common_pb2.SharedMemoryRegion(offset_bytes=lease.begin, length_bytes=1)
    for number, slot in ((lease.number, layout.SLOTS), (0, lease.slot + 1)):
        assert both.reader.copy(preprocess_pb2.MemoryLease(number=number, slot=slot), [region]) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("wrlt"), st.integers(0, 9), st.integers(1, 20 * KIB)), max_size=40))
def test_whatever_happens_a_reader_gets_what_was_written_for_it_or_nothing(
    steps: list[tuple[str, int, int]],
) -> None:
    both, holders = Both(), [Holder() for _ in range(10)]
    live: list[tuple[Lease, bytes]] = []
    for number, (step, chosen, size) in enumerate(steps):
        holder = holders[chosen]
        if step == "w":
            content = number.to_bytes(2, "little") * size
            lease = both.write(content, holder)
            live += [] if lease is None else [(lease, content)]
        elif step == "r":
            both.memory.release(list(holder.leases)[:1], holder)
        elif step == "l":
            both.memory.leave(holder)
        else:
            both.now_s += size / 1000
        for lease, content in live:
            lasts = lease.number in lease.holder.leases
            assert both.read(lease, len(content)) == (content if lasts else None)
        assert both.memory.held_bytes == sum(holder.held_bytes for holder in holders) <= 64 * KIB
    both.close()


_READER = """
import sys
from lepton_ai.mesh.leased_memory.reader import OpenedMemory
from lepton_ai.v1 import common_pb2, preprocess_pb2

memory = OpenedMemory.open(preprocess_pb2.MemoryOffer.FromString(bytes.fromhex(sys.argv[1])))
region = common_pb2.SharedMemoryRegion(offset_bytes=int(sys.argv[2]), length_bytes=int(sys.argv[3]))
valid = overtaken = 0
while (number := memory._table[0]) != int(sys.argv[4]):
    contents = memory.copy(preprocess_pb2.MemoryLease(number=number, slot=0), [region])
    if contents is None:
        overtaken += 1
        continue
    valid += 1
    assert set(contents[0]) == {number % 256}, "a mixture, or another's content"
    if valid == 1:
        print("reading", flush=True)
assert overtaken
"""


def test_a_reader_in_another_process_that_is_overtaken_while_it_copies_never_keeps_a_mixture(both: Both) -> None:
    holder, size, rounds = Holder(), 16 * KIB, 30_000
    lease = taken(both, b"\1" * size, holder)
    arguments = [both.memory.offer().SerializeToString().hex(), str(lease.begin), str(size), str(rounds)]
    with subprocess.Popen([sys.executable, "-c", _READER, *arguments], stdout=subprocess.PIPE, cwd=ROOT) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        for number in range(2, rounds + 1):
            both.memory.release([lease.number], holder)
            lease = taken(both, bytes([number % 256]) * size, holder)
        assert lease.number == rounds
    assert reader.returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda offer, pipe: preprocess_pb2.MemoryOffer(token=bytes(32)),
        lambda offer, pipe: preprocess_pb2.MemoryOffer(size_bytes=offer.size_bytes + 1),
        lambda offer, pipe: preprocess_pb2.MemoryOffer(descriptor=9999),
        lambda offer, pipe: preprocess_pb2.MemoryOffer(pid=2**22 + 1),
        lambda offer, pipe: preprocess_pb2.MemoryOffer(descriptor=pipe),
    ],
    ids=["another token", "another size", "no such file", "no such process", "a pipe"],
)
def test_what_is_not_the_memory_that_was_offered_is_not_opened(
    both: Both, change: Callable[[preprocess_pb2.MemoryOffer, int], preprocess_pb2.MemoryOffer]
) -> None:
    offer = both.memory.offer()
    pipe, end = os.pipe()
    offer.MergeFrom(change(offer, pipe))
    with pytest.raises(OSError):
        OpenedMemory.open(offer)
    os.close(pipe)
    os.close(end)


def test_a_reader_keeps_what_it_opened_when_the_owner_is_gone_and_then_nothing_is_left() -> None:
    both = Both()
    lease = taken(both, b"last words", Holder())
    both.memory.close()
    assert both.read(lease, 10) == b"last words"
    both.reader.close()
    with pytest.raises(OSError):
        OpenedMemory.open(both.memory.offer())
    assert not list(Path("/dev/shm").glob(f"*{layout.NAME}*"))


def test_a_reader_cannot_write(both: Both) -> None:
    with pytest.raises(TypeError):
        both.reader._view[:1] = b"x"
