"""Replacing every replica under load fails no call, because a server answers until everybody knows that it leaves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc

from lepton_ai.mesh.discovery.endpoints import EndpointWatch, watch_endpoints
from lepton_ai.testing import MemoryStore, Running, eventually, quick_settings, running
from tests.integration.mesh.echo import SERVICE, Echo, EchoStub, add_echo

_NEWS_TAKES_S = 0.2
"""How late the caller of this test hears of every change."""


class _Caller:
    """Calls replicas in turn over connections that it keeps, without retries, knowing late who is there."""

    def __init__(self, watching: EndpointWatch) -> None:
        self._watching = watching
        self._known: frozenset[str] = watching.addresses
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._turn = itertools.count()
        self.answered = 0
        self.failed = 0

    async def listen(self) -> None:
        async for endpoints in self._watching.changes():
            addresses = frozenset(endpoint.address for endpoint in endpoints)
            asyncio.get_running_loop().call_later(_NEWS_TAKES_S, self._learn, addresses)

    async def call_for_ever(self) -> None:
        while True:
            known = sorted(self._known)
            address = known[next(self._turn) % len(known)]
            if address not in self._channels:
                self._channels[address] = grpc.aio.insecure_channel(address)
            try:
                await EchoStub(self._channels[address]).send("UnaryUnary", "a", timeout=5)
                self.answered += 1
            except grpc.aio.AioRpcError:
                self.failed += 1

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    def _learn(self, addresses: frozenset[str]) -> None:
        self._known = addresses


@asynccontextmanager
async def load_on(state: MemoryStore) -> AsyncIterator[_Caller]:
    watching = await watch_endpoints(state, "test")
    caller = _Caller(watching)
    tasks = [asyncio.create_task(caller.listen()), *(asyncio.create_task(caller.call_for_ever()) for _ in range(8))]
    try:
        yield caller
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert [task for task in tasks if not task.cancelled()] == []
        await caller.close()
        await watching.close()


async def slow(text: str) -> str:
    await asyncio.sleep(0.02)
    return text


async def restart_every_replica(propagation_s: float) -> _Caller:
    state = MemoryStore()
    settings = quick_settings(propagation_s=propagation_s, drain_s=5)
    async with AsyncExitStack() as stack:

        async def start_one() -> Running:
            return await stack.enter_async_context(
                running((add_echo, Echo(slow), SERVICE), state=state, settings=settings)
            )

        replicas = [await start_one() for _ in range(2)]
        async with load_on(state) as caller:
            for old in replicas:
                await start_one()
                await eventually(lambda: caller.answered > 20, description="load flows")
                await old.server.drain()
            enough = caller.answered + 50
            await eventually(lambda: caller.answered > enough, description="load flows on")
    await state.close()
    return caller


async def test_a_rolling_restart_fails_no_call() -> None:
    caller = await restart_every_replica(propagation_s=2 * _NEWS_TAKES_S)
    assert caller.answered > 100
    assert caller.failed == 0


async def test_without_waiting_for_the_news_to_spread_calls_would_fail() -> None:
    """The negative control: the test above can fail."""
    caller = await restart_every_replica(propagation_s=0)
    assert caller.failed > 0
