"""Client → first → second → third over real gRPC, with failures at random: retries add a fifth, however many hops."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from lepton_ai.errors import LeptonError, ResourceExhausted, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.interceptors import map_errors, notes_layer
from tests.integration.mesh.replicas import Answer, Replica, running_replicas, say

CALLS = 500
RESERVE = 3
"""Retries that a pool may make beyond its share, and again in every ten seconds."""
CHANCE = CALLS**0.5
"""A hop hears of its callers' repeats as they come, and may have spent its share by then."""


@dataclass(frozen=True)
class Chain:
    pool: ServicePool
    hops: list[list[Replica]]

    def calls(self) -> list[int]:
        return [sum(replica.calls for replica in hop) for hop in self.hops]


@contextlib.asynccontextmanager
async def _pool_of(replicas: list[Replica]) -> AsyncIterator[ServicePool]:
    pool = ServicePool("hop", fixed_endpoints("hop", [replica.address for replica in replicas]))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


@contextlib.asynccontextmanager
async def _chain(shares: Sequence[float], error: LeptonError, *, late: bool) -> AsyncIterator[Chain]:
    """Three services of two replicas; each calls the next one and fails that share of its calls."""
    dice = random.Random(7)
    async with contextlib.AsyncExitStack() as stack:
        hops = []
        for _ in shares:
            layers = [map_errors, notes_layer(Metrics("hop"), limit=1000)]
            hops.append(await stack.enter_async_context(running_replicas(2, layers)))
        pools = [await stack.enter_async_context(_pool_of(hop)) for hop in hops]
        for hop, below, share in zip(hops, [*pools[1:], None], shares, strict=True):
            for replica in hop:
                replica.answer = _failing(dice, share, error, below, late=late)
        yield Chain(pools[0], hops)


def _failing(dice: random.Random, share: float, error: LeptonError, below: ServicePool | None, *, late: bool) -> Answer:
    """Fails a share of its calls, before or after it has called the service below it."""

    async def answer(request: bytes) -> bytes:
        fails = dice.random() < share
        if fails and not late:
            raise type(error)(error.message, retry_after_s=error.retry_after_s)
        if below is not None:
            await below.call(say, timeout_s=2)
        if fails:
            raise type(error)(error.message, retry_after_s=error.retry_after_s)
        return request

    return answer


async def _offer(chain: Chain) -> int:
    """Make the calls, sixteen at a time; returns how many were answered."""
    turns = iter(range(CALLS))
    answered = 0

    async def caller() -> None:
        nonlocal answered
        for _ in turns:
            with contextlib.suppress(LeptonError):
                await chain.pool.call(say, timeout_s=5)
                answered += 1

    await asyncio.gather(*(caller() for _ in range(16)))
    return answered


@pytest.mark.parametrize("error", [Unavailable("Down."), ResourceExhausted("Busy.", retry_after_s=0.002)])
@pytest.mark.parametrize(
    ("shares", "late"),
    [((0.5, 0.5, 0.5), False), ((0.5, 0.5, 0.5), True), ((0.0, 0.0, 0.5), False), ((0.0, 0.0, 1.0), False)],
    ids=["all fail half before", "all fail half after", "the last fails half", "the last is down"],
)
async def test_retries_do_not_multiply(shares: tuple[float, ...], late: bool, error: LeptonError) -> None:
    async with _chain(shares, error, late=late) as chain:
        begin_s = time.monotonic()
        answered = await _offer(chain)
        reserve = RESERVE * (1 + (time.monotonic() - begin_s) / 10)
        for depth, calls in enumerate(chain.calls(), start=1):
            assert calls <= 1.2 * CALLS + depth * reserve + CHANCE
        assert chain.calls()[0] == CALLS or shares[0] > 0  # what the last one failed is retried next to it only
        if shares == (0.0, 0.0, 0.5):
            assert chain.calls()[-1] >= 1.15 * CALLS  # and there it is
            assert answered > 0.48 * CALLS
