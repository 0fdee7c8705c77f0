"""Slots of shared memory: made on demand, used again only when that is safe, never in the way of a request."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lepton_ai.mesh.shared_memory import PREFIX, remove_leftovers
from lepton_ai.testing import eventually
from lepton_ai.testing.fake_triton import FakeTriton
from services.inference.rows import NamedTensor, Rows
from services.inference.triton import transport
from services.inference.triton.shared_memory import SharedMemory
from services.inference.triton.slots import SlotPool
from services.inference.triton.transport import BatchTransport

MIB = 1 << 20


@pytest.fixture
async def triton(tmp_path: Path) -> FakeTriton:
    triton = FakeTriton(shared_memory=tmp_path)
    await triton.load("affine--v3")
    return triton


@pytest.fixture
async def slots(triton: FakeTriton, tmp_path: Path) -> AsyncIterator[SlotPool]:
    pool = SlotPool(triton, max_bytes=8 * MIB, directory=tmp_path)
    yield pool
    await pool.close()
    assert not triton.shared_memory.names


def large(first: float, *, count: int = 1) -> Rows:
    """Rows of 32 KiB each that can be told apart."""
    values = (np.arange(count, dtype=np.float32) + first).repeat(8192).reshape(count, 8192)
    return Rows(count, (NamedTensor("x", "FP32", (count, 8192), values.tobytes()),))


async def infer(triton: FakeTriton, slots: SlotPool, *parts: Rows) -> list[float]:
    response = await BatchTransport(triton, slots).infer("affine--v3", parts, timeout_s=5)
    return first_values(response)


def first_values(response: service_pb2.ModelInferResponse) -> list[float]:
    values = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(response.outputs[0].shape)
    assert (values == values[:, :1]).all()
    return [float(value) for value in (values[:, 0] - 1) / 2]


async def warm(triton: FakeTriton, slots: SlotPool) -> None:
    """Until there is a slot; the first request asks for it, and goes inline."""
    await infer(triton, slots, large(0))
    await eventually(lambda: slots.free_slots == 1, description="a slot is made")


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def shared(triton: FakeTriton) -> list[bool]:
    return ["shared_memory_region" in request.inputs[0].parameters for request in triton.requests]


async def test_a_batch_goes_through_shared_memory_once_there_is_a_slot(triton: FakeTriton, slots: SlotPool) -> None:
    await warm(triton, slots)
    assert await infer(triton, slots, large(1), large(5, count=2), large(9)) == [1, 5, 6, 9]
    assert await infer(triton, slots, large(3)) == [3]
    assert shared(triton) == [False, True, True]
    assert not triton.requests[1].raw_input_contents
    assert slots.free_slots == 1, "one slot served both"


async def test_small_batches_go_inside_the_message(triton: FakeTriton, slots: SlotPool) -> None:
    small = Rows(1, (NamedTensor("x", "FP32", (1, 2), bytes(8)),))
    await warm(triton, slots)
    await infer(triton, slots, small)
    assert shared(triton) == [False, False]


async def test_tensors_without_content_go_inside_the_message(triton: FakeTriton, slots: SlotPool) -> None:
    await warm(triton, slots)
    empty = Rows(1, (*large(4).tensors, NamedTensor("z", "FP32", (1, 0), b"")))
    assert await infer(triton, slots, empty) == [4]
    assert shared(triton) == [False, False]


async def test_tensors_of_a_slot_are_aligned_and_apart(slots: SlotPool, triton: FakeTriton) -> None:
    await warm(triton, slots)
    odd = NamedTensor("z", "UINT8", (1, 33001), bytes([7]) * 33001)
    await infer(triton, slots, Rows(1, (odd, *large(1).tensors)))
    parameters = [each.parameters for each in triton.requests[1].inputs]
    assert parameters[0]["shared_memory_byte_size"].int64_param == 33001
    assert parameters[1]["shared_memory_offset"].int64_param == 33024


async def test_a_batch_larger_than_any_slot_may_be_goes_inside_the_message(triton: FakeTriton, slots: SlotPool) -> None:
    assert await infer(triton, slots, large(0, count=65)) == list(range(65))
    await infer(triton, slots, large(0, count=65))
    assert shared(triton) == [False, False]
    assert slots.held_bytes == 0


async def test_slots_never_take_more_than_they_may(triton: FakeTriton, slots: SlotPool) -> None:
    triton.compute_s = 0.02
    for _ in range(12):
        await asyncio.gather(*(infer(triton, slots, large(0, count=60)) for _ in range(8)))
        assert slots.held_bytes <= 8 * MIB
    assert slots.free_slots == 4, "2 MiB each"


async def test_slots_that_are_too_small_make_room_for_a_larger_one(triton: FakeTriton, tmp_path: Path) -> None:
    slots = SlotPool(triton, max_bytes=2 * MIB, directory=tmp_path)
    small = [await taken(slots, 100_000) for _ in range(8)]
    assert slots.held_bytes == 2 * MIB
    for slot in small:
        slots.give_back(slot)
    large_slot = await taken(slots, 300_000)
    assert large_slot.size_bytes == MIB // 2
    slots.give_back(large_slot)
    await slots.close()


async def taken(slots: SlotPool, size_bytes: int) -> SharedMemory:
    """A slot, as soon as there is one."""
    found: list[SharedMemory] = []

    def take() -> bool:
        found.extend(slot for slot in (slots.take(size_bytes),) if slot is not None)
        return bool(found)

    await eventually(take, description="a slot is free")
    return found[0]


async def test_a_slot_that_was_given_up_is_not_used_while_triton_may_read_it(
    triton: FakeTriton, slots: SlotPool
) -> None:
    await warm(triton, slots)
    triton.compute_s = 0.3
    abandoned = asyncio.ensure_future(infer(triton, slots, large(1)))
    await eventually(lambda: len(triton.requests) == 2, description="the request is at Triton")
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    assert slots.free_slots == 0
    assert slots.held_bytes, "Triton still has it"
    (name,) = triton.shared_memory.names
    await infer(triton, slots, large(2))
    await eventually(lambda: name not in triton.shared_memory.names, description="Triton has let go of it")
    assert triton.shared_memory.changed_reads == 0


async def test_after_a_restart_of_triton_a_batch_is_sent_again_inline_and_new_slots_are_made(
    triton: FakeTriton, slots: SlotPool
) -> None:
    await warm(triton, slots)
    triton.kill()
    triton.restart()
    await triton.load("affine--v3")
    assert await infer(triton, slots, large(1)) == [1]
    assert shared(triton)[-2:] == [True, False]
    await infer(triton, slots, large(1))
    await eventually(lambda: slots.free_slots == 1, description="a slot of the new Triton")
    assert await infer(triton, slots, large(2)) == [2]
    assert shared(triton)[-1]


async def test_memory_that_triton_cannot_open_is_said_once_and_nothing_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    triton = FakeTriton(shared_memory=None)
    await triton.load("affine--v3")
    slots = SlotPool(triton, max_bytes=8 * MIB, directory=tmp_path)
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            assert await infer(triton, slots, large(number)) == [number]
            await eventually(lambda: slots.held_bytes == 0, description="the attempt has ended")
    assert [record.message for record in caplog.records] == [
        "Batches go to Triton inside messages, as memory cannot be shared with it: Unable to open shared memory region."
    ]
    assert not names_in(tmp_path)
    await slots.close()


async def test_too_little_shared_memory_is_no_failure(
    triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = os.statvfs_result((4096, 4096, 300, 80, 80, 9, 9, 9, 0, 255))  # 320 KiB are free
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    slots = SlotPool(triton, max_bytes=8 * MIB, directory=tmp_path)
    for number in range(2):
        assert await infer(triton, slots, large(number)) == [number]
        await eventually(lambda: slots.held_bytes == 0, description="the attempt has ended")
    assert "No space left on device" in caplog.text
    await slots.close()


async def test_an_old_triton_gets_everything_inside_messages(
    triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def version() -> tuple[int, ...]:
        return (2, 44, 0)

    monkeypatch.setattr(triton, "version", version)
    slots = SlotPool(triton, max_bytes=8 * MIB, directory=tmp_path)
    assert await infer(triton, slots, large(1)) == [1]
    await eventually(lambda: slots.held_bytes == 0, description="the attempt has ended")
    assert "Triton 2.44.0 is too old" in caplog.text
    await slots.close()


async def test_no_file_is_left_while_a_slot_is_in_use(triton: FakeTriton, slots: SlotPool, tmp_path: Path) -> None:
    await warm(triton, slots)
    assert triton.shared_memory.names
    assert not names_in(tmp_path)


async def test_regions_that_a_killed_predecessor_registered_are_unregistered(
    triton: FakeTriton, slots: SlotPool, tmp_path: Path
) -> None:
    predecessor = SharedMemory.create(4096, directory=tmp_path)
    await triton.register_region(predecessor.name, 4096)
    predecessor.close()
    await warm(triton, slots)
    assert predecessor.name not in triton.shared_memory.names


def test_names_that_killed_processes_left_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}left").write_bytes(b"")
    (tmp_path / "lepton-0123-other").write_bytes(b"")
    alive = SharedMemory.create(4096, directory=tmp_path)
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, "lepton-0123-other"}
    alive.close()
    assert not (tmp_path / alive.name).exists()


def test_a_process_killed_while_it_makes_a_region_leaves_nothing_for_long(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\nfrom services.inference.triton.shared_memory import SharedMemory\n"
        "held = SharedMemory.create(4096, directory=pathlib.Path(sys.argv[1]))\n"
        "print(held.name, flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    remove_leftovers(tmp_path)
    assert (tmp_path / name).exists(), "its owner lives"
    process.kill()
    process.communicate()
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_region_taken_for_a_leftover_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    stolen: list[Path] = []

    def lock_late(descriptor: int, operation: int) -> None:
        if not stolen:
            stolen.extend(tmp_path.iterdir())
            stolen[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    region = SharedMemory.create(4096, directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [region.name] != [stolen[0].name]
    region.close()


def test_the_threshold_is_below_a_photo_and_above_a_row_of_numbers() -> None:
    assert 16 * 4 < transport._LEAST_BYTES < 224 * 224 * 3


@pytest.mark.parametrize("call", ["register_region", "version"])
async def test_a_slot_that_cannot_be_made_for_a_reason_nobody_expects_costs_no_memory(
    triton: FakeTriton, slots: SlotPool, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("poison")

    monkeypatch.setattr(triton, call, fail)
    assert await infer(triton, slots, large(1)) == [1]
    await eventually(lambda: slots.held_bytes == 0, description="what was meant for it is given back")


async def test_a_slot_is_asked_back_until_triton_has_let_go_whatever_it_says(
    triton: FakeTriton, slots: SlotPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warm(triton, slots)
    unregister, failures = triton.unregister_region, [ValueError("poison"), ValueError("poison")]

    async def fail_first(name: str) -> None:
        if failures:
            raise failures.pop()
        await unregister(name)

    monkeypatch.setattr(triton, "unregister_region", fail_first)
    slot = slots.take(1)
    assert slot is not None
    slots.give_up(slot)
    await eventually(lambda: slots.held_bytes == 0, description="it is forgotten")
