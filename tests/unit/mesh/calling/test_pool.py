"""A pool goes on following its endpoints, whatever following meets, and loses count of no call, whatever calls meet."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput, ResourceExhausted, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import EndpointWatch, fixed_endpoints
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.testing import eventually


async def test_following_the_endpoints_is_begun_again_when_it_fails() -> None:
    watch, followed = fixed_endpoints("preprocess", ()), 0

    async def changes() -> AsyncIterator[frozenset[Endpoint]]:
        nonlocal followed
        followed += 1
        if followed < 3:
            raise ValueError("poison")
        yield frozenset()

    watch.changes = changes  # type: ignore[method-assign]
    pool = ServicePool("preprocess", watch)
    await pool.start()
    await eventually(lambda: followed == 3, description="they are followed for the third time")
    await pool.close()
    assert isinstance(watch, EndpointWatch)


ENDS = {
    "answer": None,
    "wrong": InvalidInput("No."),
    "gone": Unavailable("Gone."),
    "shed": ResourceExhausted("Busy.", retry_after_s=0.001),
    "hang": None,
}


class NoChannel:
    """Stands in for a connection."""

    def get_state(self, try_to_connect: bool = False) -> None:
        """Nothing is connected."""

    async def close(self, grace: float | None = None) -> None:
        """Nothing is open."""


class Unconnected(ServicePool):
    def _open(self, address: str) -> grpc.aio.Channel:
        return cast("grpc.aio.Channel", NoChannel())


@settings(max_examples=25, deadline=None)
@given(
    ends=st.lists(st.sampled_from(sorted(ENDS)), min_size=1, max_size=12),
    cancelled=st.sets(st.integers(0, 39), max_size=10),
    replicas=st.integers(1, 4),
)
def test_no_call_stays_counted_whatever_it_ends_with(ends: list[str], cancelled: set[int], replicas: int) -> None:
    asyncio.run(_call_with(ends, cancelled, replicas))


async def _call_with(ends: list[str], cancelled: set[int], replicas: int) -> None:
    pool = Unconnected("echo", fixed_endpoints("echo", [f"r{number}:1" for number in range(replicas)]))
    await pool.start()
    hedging = pool._hedging
    assert hedging is not None
    for _ in range(60):
        hedging.of("say").observe(0.001)
        hedging.budget.deposit()
    turn = itertools.cycle(ends)
    requests = 0

    async def invoke(channel: grpc.aio.Channel, timeout_s: float) -> Any:
        nonlocal requests
        requests += 1
        end = next(turn)
        await asyncio.sleep(0.05 if end == "hang" else 0.0015)
        if (error := ENDS[end]) is not None:
            raise error

    calls = [asyncio.create_task(pool.call(invoke, timeout_s=1.0, hedge="say")) for _ in range(40)]
    await asyncio.sleep(0.001)
    for number in cancelled:
        calls[number].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await eventually(lambda: not any(pool._balancer.under_way.values()), description="no call is counted any more")
    assert all(link.idle.is_set() and not link.full for link in pool._links.values())
    assert requests <= 40 * 1.2 + 3 + 1
    await pool.close()
