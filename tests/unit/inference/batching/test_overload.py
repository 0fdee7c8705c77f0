"""Five times as many calls as the model can answer, with the real batcher and admission, in virtual time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks.overload.curve import quantile
from lepton_ai.errors import ResourceExhausted
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.testing.fake_triton import FakeTriton
from services.inference.call import Call
from services.inference.predict.runtime import ModelRuntime
from tests.unit.inference.parts import loaded_version, make_batcher, rows_of
from tests.virtual_time import run_in_virtual_time

_ROW_S = 0.008
_WAY_S = 0.0005
_CAPACITY_PER_S = 1 / _ROW_S


class OneInstance(FakeTriton):
    """Takes 8 ms a row, give or take a tenth, one batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()
        self._dice = random.Random(1)

    async def infer(self, request: Any, *, timeout_s: float, metadata: Sequence[tuple[str, str]] = ()) -> Any:
        await asyncio.sleep(_WAY_S)
        async with self._turn:
            await asyncio.sleep(request.inputs[0].shape[0] * _ROW_S * self._dice.lognormvariate(0.0, 0.1))
        return await super().infer(request, timeout_s=timeout_s, metadata=metadata)


@dataclass(frozen=True)
class Ended:
    """One call."""

    due_s: float
    took_s: float
    answered: bool


async def arrivals(runtime: ModelRuntime, per_s: float, seconds: float) -> list[Ended]:
    """Calls of one row at random times, whatever comes back."""
    ended: list[Ended] = []
    dice, end_s = random.Random(3), time.monotonic() + seconds

    async def call() -> None:
        due_s, answered = time.monotonic(), True
        one = Call.arrive(timeout_s=30, context=EMPTY)
        try:
            with runtime.admit_rows(rows_of(1.0), one):
                await runtime.run(rows_of(1.0), one)
        except ResourceExhausted:
            answered = False
        ended.append(Ended(due_s, time.monotonic() - due_s, answered))

    async with asyncio.TaskGroup() as tasks:
        while time.monotonic() < end_s:
            tasks.create_task(call())
            await asyncio.sleep(dice.expovariate(per_s))
    return ended


async def overload() -> tuple[list[Ended], list[Ended]]:
    """What became of the calls of ten seconds at five times the capacity, and of those at half of it afterwards."""
    triton = OneInstance()
    await triton.load("affine--v3")
    loaded = loaded_version()
    runtime = ModelRuntime(loaded, make_batcher(triton, loaded))
    await arrivals(runtime, 0.5 * _CAPACITY_PER_S, 2)
    return await arrivals(runtime, 5 * _CAPACITY_PER_S, 10), await arrivals(runtime, 0.5 * _CAPACITY_PER_S, 5)


def test_an_overload_costs_no_throughput_and_those_let_in_wait_for_a_few_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    during, after = run_in_virtual_time(overload(), monkeypatch)
    answered = [each for each in during if each.answered]
    assert len(answered) >= 0.95 * 10 * _CAPACITY_PER_S
    begun_s = min(each.due_s for each in during)
    settled = [each.took_s for each in answered if each.due_s > begun_s + 1]
    assert quantile(settled, 0.5) < 12 * _ROW_S
    assert quantile(settled, 0.99) < 20 * _ROW_S
    refused = [each.took_s for each in during if not each.answered and each.due_s > begun_s + 1]
    assert max(refused) == 0, "at once"
    ended_s = min(each.due_s for each in after)
    assert all(each.answered for each in after if each.due_s > ended_s + 1), "all is well again"
