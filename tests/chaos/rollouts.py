"""Waiting for what becomes of rollouts."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from lepton_ai import AsyncClient
from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2
from tests.chaos.calls import ROWS

RUNNING, PROMOTED = registry_pb2.ROLLOUT_STATE_RUNNING, registry_pb2.ROLLOUT_STATE_PROMOTED
ROLLED_BACK = registry_pb2.ROLLOUT_STATE_ROLLED_BACK
LONG_S = 3600.0


async def until_state(
    client: AsyncClient, state: int, *, share: int | None = None, model: str = ROWS
) -> registry_pb2.Rollout:
    """The newest rollout, once it has this state, and this share of the traffic."""
    newest = registry_pb2.Rollout()

    async def there() -> bool:
        nonlocal newest
        newest = (await client.rollouts(model))[0]
        return newest.state == state and share in (None, newest.share)

    await eventually(there, timeout_s=90.0, description=f"the rollout is in state {state}")
    return newest


async def versions_of(client: AsyncClient, factors: dict[int, float], calls: int) -> Counter[int]:
    """Who answered so many calls."""
    rows = np.ones((1, 4), dtype=np.float32)
    answers = [await client.infer(ROWS, {"x": rows}) for _ in range(calls)]
    for answer in answers:
        np.testing.assert_array_equal(answer.tensors["y"], rows * np.float32(factors[answer.version]))
    return Counter(answer.version for answer in answers)


async def until_answered_by(client: AsyncClient, factors: dict[int, float], versions: set[int]) -> float:
    """How many seconds it takes until only these versions answer, in 50 calls after one another."""
    began_s = time.monotonic()

    async def there() -> bool:
        return set(await versions_of(client, factors, 50)) == versions

    await eventually(there, timeout_s=20.0, description=f"{versions} answer")
    return time.monotonic() - began_s
