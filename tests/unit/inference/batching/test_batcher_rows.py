"""Rows never mix and nothing gets lost: many callers with distinguishable rows, failures and cancellations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InternalError, LeptonError, Unavailable
from lepton_ai.tensors import Array
from lepton_ai.testing import eventually
from lepton_ai.testing.fake_triton import FakeTriton, affine
from services.inference.call import Priority
from tests.unit.inference.parts import in_seconds, loaded_version, make_batcher, rows_of, values_in

BAD = -1.0


@dataclass(frozen=True)
class Caller:
    rows: int
    """Rows that it sends."""
    is_bad: bool
    """One of its rows makes the model fail."""
    patience: int | None
    """Turns of the loop after which it gives up; None: never."""
    starts_after: int
    priority: Priority


CALLERS = st.lists(
    st.builds(
        Caller,
        rows=st.integers(1, 4),
        is_bad=st.sampled_from([False, False, False, True]),
        patience=st.none() | st.integers(0, 30),
        starts_after=st.integers(0, 10),
        priority=st.sampled_from(Priority),
    ),
    min_size=1,
    max_size=40,
)


class FlakyTriton(FakeTriton):
    """Takes some turns of the loop for each batch and is away for some."""

    def __init__(self, turns: Sequence[int], away: Sequence[bool]) -> None:
        super().__init__(_refuse_bad)
        self._turns = turns
        self._away = away
        self.batches = 0

    async def infer(self, request: Any, *, timeout_s: float, metadata: Sequence[tuple[str, str]] = ()) -> Any:
        number = self.batches
        self.batches += 1
        await _turns(self._turns[number % len(self._turns)])
        if self._away[number % len(self._away)]:
            raise Unavailable("away", reason="TRITON_AWAY")
        return await super().infer(request, timeout_s=timeout_s, metadata=metadata)


def _refuse_bad(name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    (values,) = inputs.values()
    if (np.asarray(values, np.float32)[:, 0] == BAD).any():
        raise InternalError("bad row", reason="MODEL_FAILED")
    return affine(name, inputs)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@settings(max_examples=80, deadline=None)
@given(
    callers=CALLERS,
    max_batch_size=st.integers(4, 8),
    instances=st.integers(1, 3),
    turns=st.lists(st.integers(0, 8), min_size=1, max_size=5),
    away=st.lists(st.sampled_from([False, False, False, True]), min_size=1, max_size=5),
)
def test_every_caller_gets_exactly_its_own_rows_or_its_own_error(
    callers: list[Caller], max_batch_size: int, instances: int, turns: list[int], away: list[bool]
) -> None:
    asyncio.run(_scenario(callers, max_batch_size, instances, FlakyTriton(turns, away)))


async def _scenario(callers: list[Caller], max_batch_size: int, instances: int, triton: FlakyTriton) -> None:
    await triton.load("affine--v3")
    batcher = make_batcher(triton, loaded_version(max_batch_size=max_batch_size, instances=instances))
    answered: list[int] = []

    async def call(number: int, caller: Caller) -> list[float]:
        await _turns(caller.starts_after)
        values = _values(number, caller)
        answer = await batcher.submit(rows_of(*values), deadline=in_seconds(30), priority=caller.priority)
        answered.append(number)
        return values_in(answer.rows)

    tasks = [asyncio.ensure_future(call(number, caller)) for number, caller in enumerate(callers)]
    givers_up = [asyncio.ensure_future(_give_up(task, caller)) for task, caller in zip(tasks, callers, strict=True)]
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*givers_up)
        await eventually(lambda: not batcher.busy, description="the batcher is idle", interval_s=0)
    for number, (caller, result) in enumerate(zip(callers, results, strict=True)):
        _check(number, caller, result)
    assert len(answered) == len(set(answered)), "nobody is answered twice"
    assert batcher.queued_rows == batcher.batches_in_flight == 0, "nothing is left behind"


def _values(number: int, caller: Caller) -> list[float]:
    values = [float(number * 10 + row) for row in range(caller.rows)]
    return [*values[:-1], BAD] if caller.is_bad else values


async def _give_up(task: asyncio.Future[list[float]], caller: Caller) -> None:
    if caller.patience is not None:
        await _turns(caller.starts_after + caller.patience)
        task.cancel()


def _check(number: int, caller: Caller, result: list[float] | BaseException) -> None:
    if isinstance(result, list):
        assert not caller.is_bad
        assert result == _values(number, caller)
    elif isinstance(result, asyncio.CancelledError):
        assert caller.patience is not None, "only who gave up is cancelled"
    else:
        assert isinstance(result, LeptonError)
        # An error is either Triton's being away or the fault of this very caller.
        assert result.reason == "TRITON_AWAY" or (caller.is_bad and result.reason == "MODEL_FAILED")
