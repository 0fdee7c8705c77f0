"""Batches through memory shared with the real Triton: what it answers, and what is left when somebody dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import DeadlineExceeded, InternalError, LeptonError, Unavailable
from lepton_ai.mesh.shared_memory import PREFIX, SHARED_MEMORY
from lepton_ai.testing import eventually
from lepton_ai.testing.running_triton import LocalTriton
from services.inference.rows import NamedTensor, Rows
from services.inference.triton.client import Triton
from services.inference.triton.errors import REGION_LOST
from services.inference.triton.messages import new_request
from services.inference.triton.repository import ModelRepository, TritonModel
from services.inference.triton.shared_memory import SharedMemory
from services.inference.triton.slots import SlotPool
from services.inference.triton.transport import BatchTransport
from tests.integration.inference.test_triton_models import X, Y
from tests.sample_packages import onnx_bytes

ROWS = 4096
"""Of [4] floats: 64 KiB."""
_SLEEPER = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            time.sleep(0.5)
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("y", x * 2)]))
        return answers
"""


@pytest.fixture
async def triton(local_triton: LocalTriton) -> AsyncIterator[Triton]:
    triton = Triton(local_triton.address)
    yield triton
    await triton.close()


@pytest.fixture
async def slots(triton: Triton) -> AsyncIterator[SlotPool]:
    pool = SlotPool(triton, max_bytes=8 << 20)
    yield pool
    await pool.close()


@pytest.fixture
def model(local_triton: LocalTriton, tmp_path: Path) -> str:
    """y = 2·x, in half a second; loaded by the test."""
    (tmp_path / "doubler.onnx").write_bytes(onnx_bytes())
    wanted = TritonModel(
        file=tmp_path / "doubler.onnx", instances=1, model="doubler", version=1, format="onnx", inputs=[X], outputs=[Y]
    )
    return ModelRepository(local_triton.model_repository).add(wanted)


def rows(first: float, *, count: int = ROWS) -> Rows:
    values = np.arange(count * 4, dtype=np.float32).reshape(count, 4) + np.float32(first)
    return Rows(count, (NamedTensor("x", "FP32", (count, 4), values.tobytes()),))


async def expect_doubled(transport: BatchTransport, model: str, *parts: Rows) -> None:
    response = await transport.infer(model, parts, timeout_s=10)
    sent = np.concatenate([np.frombuffer(part.tensors[0].data, np.float32) for part in parts])
    np.testing.assert_array_equal(np.frombuffer(response.raw_output_contents[0], np.float32), sent * 2)


async def warm(transport: BatchTransport, slots: SlotPool, model: str) -> None:
    await expect_doubled(transport, model, rows(0))
    await eventually(lambda: slots.free_slots > 0, description="a slot is made")


async def test_batches_side_by_side_get_their_own_answers(triton: Triton, slots: SlotPool, model: str) -> None:
    await triton.load(model)
    transport = BatchTransport(triton, slots)
    for round_number in range(10):
        await asyncio.gather(
            *(expect_doubled(transport, model, rows(each), rows(-each)) for each in range(round_number, 90, 10))
        )
    assert slots.free_slots > 1
    assert set(await triton.regions()), "what was taken is registered"
    assert not list(SHARED_MEMORY.glob(f"{PREFIX}*")), "no region has a name"


async def test_killed_and_started_again_triton_gets_new_slots(
    local_triton: LocalTriton, triton: Triton, slots: SlotPool, model: str
) -> None:
    await triton.load(model)
    transport = BatchTransport(triton, slots)
    await warm(transport, slots, model)
    old = set(await triton.regions())
    await local_triton.kill()
    with pytest.raises(Unavailable):
        await transport.infer(model, [rows(1)], timeout_s=1)
    await local_triton.start()
    await eventually(triton.ready, description="the channel is connected again")
    await triton.load(model)
    await warm(transport, slots, model)
    await expect_doubled(transport, model, rows(2))
    assert set(await triton.regions()).isdisjoint(old)


async def test_a_region_that_triton_lost_is_not_the_callers_problem(
    triton: Triton, slots: SlotPool, model: str
) -> None:
    await triton.load(model)
    transport = BatchTransport(triton, slots)
    await warm(transport, slots, model)
    for name in await triton.regions():
        await triton.unregister_region(name)
    await expect_doubled(transport, model, rows(3))


async def test_memory_of_a_request_that_was_given_up_stays_until_triton_is_done_with_it(
    local_triton: LocalTriton, triton: Triton, slots: SlotPool, model: str
) -> None:
    runner = next((local_triton.model_repository / model).rglob("model.py"))
    runner.write_text(_SLEEPER, encoding="utf-8")
    await triton.load(model)
    transport = BatchTransport(triton, slots)
    await warm(transport, slots, model)
    (name,) = await triton.regions()
    with pytest.raises(DeadlineExceeded):
        await transport.infer(model, [rows(1)], timeout_s=0.1)
    assert slots.free_slots == 0
    with pytest.raises(InternalError):
        await triton.unregister_region(name)
    await expect_doubled(transport, model, rows(2))
    await eventually(lambda: slots.held_bytes <= 1 << 18, description="the slot is reclaimed", timeout_s=10)
    assert name not in await triton.regions()


async def test_unknown_and_missing_regions_are_told_apart(triton: Triton) -> None:
    with pytest.raises(LeptonError, match="shared memory"):
        await triton.register_region(f"{PREFIX}missing", 4096)
    await triton.unregister_region(f"{PREFIX}missing")
    assert await triton.version() >= (2, 51)


async def test_a_request_that_names_an_unknown_region_says_so(triton: Triton, model: str) -> None:
    from services.inference.triton.transport import _write

    await triton.load(model)
    memory = await asyncio.to_thread(SharedMemory.create, 1 << 17)
    try:
        with pytest.raises(Unavailable) as caught:
            await triton.infer(_write(new_request(model), [rows(1)], memory), timeout_s=5)
        assert caught.value.reason == REGION_LOST
    finally:
        memory.close()
