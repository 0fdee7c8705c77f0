"""Rows never mix on their way through shared memory, whoever gives up and however often Triton dies."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import LeptonError
from lepton_ai.testing import eventually
from lepton_ai.testing.fake_triton import FakeTriton
from services.inference.batching.batcher import Batcher
from services.inference.rows import NamedTensor, Rows
from services.inference.triton.slots import SlotPool
from tests.unit.inference.parts import NO_TRACING, Described, Description, Reports, loaded_version

WIDTH = 5000
"""FP32 values in a row: 20 kB, so that every batch is worth a slot."""
NAME = "affine--v3"
MODEL = Description(inputs=(Described("x", "FP32", (-1, WIDTH)),), outputs=(Described("y", "FP32", (-1, WIDTH)),))


@dataclass(frozen=True)
class Caller:
    rows: int
    starts_after_ms: int
    patience_ms: int | None
    """When it gives up; None: never."""
    timeout_ms: int


CALLERS = st.lists(
    st.builds(
        Caller,
        rows=st.integers(1, 3),
        starts_after_ms=st.integers(0, 12),
        patience_ms=st.none() | st.integers(0, 6),
        timeout_ms=st.sampled_from([3, 10_000, 10_000]),
    ),
    min_size=4,
    max_size=24,
)


@settings(max_examples=40, deadline=None)
@given(callers=CALLERS, compute_ms=st.integers(0, 5), deaths_at_ms=st.lists(st.integers(1, 12), max_size=2))
def test_every_caller_gets_its_own_rows_through_shared_memory(
    callers: list[Caller], compute_ms: int, deaths_at_ms: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_scenario(callers, compute_ms / 1e3, deaths_at_ms, Path(directory)))
        assert not list(Path(directory).iterdir()), "nothing is left behind"


async def _scenario(callers: Sequence[Caller], compute_s: float, deaths_at_ms: Sequence[int], directory: Path) -> None:
    triton = FakeTriton(shared_memory=directory)
    triton.compute_s = compute_s
    await triton.load(NAME)
    slots = SlotPool(triton, max_bytes=2 << 20, directory=directory)
    batcher = Batcher(
        loaded_version(instances=3, description=MODEL),
        triton,
        tracer=NO_TRACING.tracer,
        batch_done=Reports().batch_done,
        slots=slots,
    )
    tasks = [asyncio.ensure_future(_call(batcher, number, caller)) for number, caller in enumerate(callers)]
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks, *(_die(triton, at_ms / 1e3) for at_ms in deaths_at_ms))
        await eventually(lambda: not batcher.busy, description="the batcher is idle", interval_s=0)
    await batcher.close()
    await slots.close()
    assert triton.shared_memory.changed_reads == 0, "nothing was written where Triton still read"


async def _call(batcher: Batcher, number: int, caller: Caller) -> None:
    await asyncio.sleep(caller.starts_after_ms / 1e3)
    deadline = time.monotonic() + caller.timeout_ms / 1e3
    wanted = np.arange(caller.rows, dtype=np.float32) + number * 10
    rows = Rows(caller.rows, (NamedTensor("x", "FP32", (caller.rows, WIDTH), wanted.repeat(WIDTH).tobytes()),))
    try:
        async with asyncio.timeout(None if caller.patience_ms is None else caller.patience_ms / 1e3):
            answer = await batcher.submit(rows, deadline=deadline)
    except (LeptonError, TimeoutError):
        return
    (tensor,) = answer.rows.tensors
    values = np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)
    np.testing.assert_array_equal(values, (wanted * 2 + 1)[:, None].repeat(WIDTH, axis=1))


async def _die(triton: FakeTriton, after_s: float) -> None:
    await asyncio.sleep(after_s)
    triton.kill()
    await asyncio.sleep(0.001)
    triton.restart()
    await triton.load(NAME)
