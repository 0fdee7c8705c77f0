"""A service pool on real gRPC servers: follows endpoints, retries what is safe within budget and deadline."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest

from lepton_ai.errors import (
    DeadlineExceeded,
    InvalidInput,
    LeptonError,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import EndpointWatch, register, watch_endpoints
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.discovery.state import Publication
from lepton_ai.mesh.limits import MAX_CALLS_PER_CONNECTION
from lepton_ai.testing.eventually import eventually
from lepton_ai.testing.memory_store import MemoryStore
from tests.integration.mesh.replicas import Replica, failing, running_replicas, say, slow

BUSY = ResourceExhausted("Too much to do.", retry_after_s=0.05)
SHED = Unavailable("Not ready yet.", retry_after_s=0.05)


@dataclass(frozen=True)
class Fleet:
    """Some registered replicas and a pool that calls them."""

    replicas: list[Replica]
    pool: ServicePool
    publications: dict[str, Publication]
    endpoints: EndpointWatch

    def calls(self) -> list[int]:
        return [replica.calls for replica in self.replicas]

    async def leave(self, replica: Replica) -> None:
        await self.publications[replica.address].withdraw()
        await eventually(
            lambda: replica.address not in self.pool.addresses, description="the pool has heard that it left"
        )


@contextlib.asynccontextmanager
async def _fleet(count: int, *, linger_s: float = 0.1, doubt_s: float = 0.05) -> AsyncIterator[Fleet]:
    store = MemoryStore()
    async with running_replicas(count) as replicas:
        publications = {each.address: await register(store, Endpoint("echo", each.address)) for each in replicas}
        endpoints = await watch_endpoints(store, "echo")
        pool = ServicePool("echo", endpoints, linger_s=linger_s, doubt_s=doubt_s)
        await pool.start()
        try:
            yield Fleet(replicas, pool, publications, endpoints)
        finally:
            await pool.close()
            await store.close()


async def _raises(
    fleet: Fleet, error: type[LeptonError], *, timeout_s: float = 5.0, idempotent: bool = True
) -> LeptonError:
    with pytest.raises(error) as raised:
        await fleet.pool.call(say, timeout_s=timeout_s, idempotent=idempotent)
    return raised.value


async def test_a_call_is_answered() -> None:
    async with _fleet(1) as fleet:
        assert await fleet.pool.call(say, timeout_s=5) == b"hello"


async def test_without_a_replica_the_error_says_what_to_start() -> None:
    async with _fleet(0) as fleet:
        error = await _raises(fleet, Unavailable)
        assert "echo" in error.message
        assert "echo" in error.fix


async def test_calls_spread_over_the_replicas() -> None:
    async with _fleet(3) as fleet:
        await asyncio.gather(*(fleet.pool.call(say, timeout_s=5) for _ in range(60)))
        assert all(count >= 8 for count in fleet.calls())


async def test_a_new_replica_gets_calls_and_one_that_left_gets_none() -> None:
    async with _fleet(2) as fleet:
        stays, leaves = fleet.replicas
        await fleet.leave(leaves)
        before = leaves.calls
        for _ in range(20):
            await fleet.pool.call(say, timeout_s=5)
        assert leaves.calls == before
        assert stays.calls >= 20


async def test_a_replica_that_leaves_finishes_its_calls() -> None:
    async with _fleet(1, linger_s=0.05) as fleet:
        fleet.replicas[0].answer = slow(0.5)
        call = asyncio.create_task(fleet.pool.call(say, timeout_s=5))
        await eventually(lambda: fleet.replicas[0].under_way, description="the call has arrived")
        await fleet.leave(fleet.replicas[0])
        assert await call == b"hello"


async def test_replicas_that_all_vanish_at_once_are_called_for_a_while() -> None:
    async with _fleet(2, doubt_s=30.0) as fleet:
        first, last = fleet.replicas
        await fleet.leave(first)
        await fleet.publications[last.address].withdraw()
        await eventually(lambda: not fleet.endpoints.addresses, description="nobody is registered")
        for _ in range(20):
            assert await fleet.pool.call(say, timeout_s=5) == b"hello"
        assert fleet.pool.addresses == {last.address}


async def test_after_a_while_it_is_believed_that_none_is_left() -> None:
    async with _fleet(1) as fleet:
        await fleet.leave(fleet.replicas[0])
        assert (await _raises(fleet, Unavailable)).reason == "NO_REPLICA"


@pytest.mark.parametrize("error", [SHED, Unavailable("Not here."), BUSY])
async def test_what_is_unavailable_at_one_replica_is_tried_at_another(error: LeptonError) -> None:
    async with _fleet(2) as fleet:
        fleet.replicas[0].answer = failing(error)
        for _ in range(20):
            assert await fleet.pool.call(say, timeout_s=5) == b"hello"
        assert fleet.calls()[0] <= 3


@pytest.mark.parametrize("error", [InvalidInput("No."), NotFound("No."), ResourceExhausted("Too long.")])
async def test_what_will_never_work_is_not_tried_again(error: LeptonError) -> None:
    async with _fleet(2) as fleet:
        for replica in fleet.replicas:
            replica.answer = failing(error)
        raised = await _raises(fleet, type(error))
        assert raised.message == error.message
        assert sum(fleet.calls()) == 1


async def test_there_are_at_most_three_attempts() -> None:
    async with _fleet(5) as fleet:
        for replica in fleet.replicas:
            replica.answer = failing(Unavailable("Down."))
        raised = await _raises(fleet, Unavailable)
        assert raised.message == "Down."
        assert sorted(fleet.calls()) == [0, 0, 1, 1, 1]


async def test_a_single_replica_is_tried_again_after_a_moment() -> None:
    async with _fleet(1) as fleet:
        replica = fleet.replicas[0]

        async def fail_once(request: bytes) -> bytes:
            if replica.calls == 1:
                raise Unavailable("Just starting.")
            return request

        replica.answer = fail_once
        assert await fleet.pool.call(say, timeout_s=5) == b"hello"
        assert replica.calls == 2


async def test_the_servers_wish_when_to_come_back_is_followed() -> None:
    async with _fleet(2) as fleet:
        for replica in fleet.replicas:
            replica.answer = failing(Unavailable("Loading.", retry_after_s=0.2))
        begin_s = time.monotonic()
        await _raises(fleet, Unavailable)
        assert 0.4 <= time.monotonic() - begin_s < 1.5
        assert sum(fleet.calls()) == 3


async def test_a_wish_that_does_not_fit_the_deadline_ends_the_call_at_once() -> None:
    async with _fleet(2) as fleet:
        for replica in fleet.replicas:
            replica.answer = failing(Unavailable("Loading.", retry_after_s=10))
        begin_s = time.monotonic()
        raised = await _raises(fleet, Unavailable, timeout_s=2)
        assert time.monotonic() - begin_s < 1
        assert raised.retry_after_s == 10


async def test_the_deadline_spans_all_attempts() -> None:
    async with _fleet(2) as fleet:
        given_s: list[float] = []

        async def fail_late(channel: grpc.aio.Channel, timeout_s: float) -> bytes:
            given_s.append(timeout_s)
            await asyncio.sleep(0.2)
            raise Unavailable("Broken.")

        with pytest.raises(Unavailable):
            await fleet.pool.call(fail_late, timeout_s=1.0)
        assert given_s[0] > 0.9
        assert given_s[1] < 0.81
        assert given_s[2] < 0.61


async def test_a_call_that_takes_too_long_ends_at_its_deadline() -> None:
    async with _fleet(1) as fleet:
        fleet.replicas[0].answer = slow(5)
        begin_s = time.monotonic()
        await _raises(fleet, DeadlineExceeded, timeout_s=0.2)
        assert time.monotonic() - begin_s < 1
        await _raises(fleet, DeadlineExceeded, timeout_s=0)
        assert fleet.calls() == [1]


async def test_retries_stay_within_their_budget() -> None:
    async with _fleet(2) as fleet:
        for replica in fleet.replicas:
            replica.answer = failing(Unavailable("Down."))
        for _ in range(100):
            await _raises(fleet, Unavailable)
        assert sum(fleet.calls()) <= 100 * 1.2 + 3 + 3


async def test_when_a_replica_dies_no_call_fails() -> None:
    async with _fleet(3) as fleet:
        for replica in fleet.replicas:
            replica.answer = slow(0.01)
        failed: Counter[str] = Counter()

        async def caller(count: int) -> None:
            for _ in range(count):
                try:
                    await fleet.pool.call(say, timeout_s=5)
                except LeptonError as error:
                    failed[type(error).__name__] += 1

        callers = [asyncio.create_task(caller(100)) for _ in range(8)]
        await eventually(lambda: sum(fleet.calls()) > 200, description="the callers are under way")
        await fleet.replicas[0].stop()
        await asyncio.gather(*callers)
        assert failed == {}
        assert sum(fleet.calls()) >= 800


async def test_a_broken_connection_is_not_retried_when_that_could_do_it_twice() -> None:
    async with _fleet(2) as fleet:
        for replica in fleet.replicas:
            replica.answer = slow(5)
        call = asyncio.create_task(fleet.pool.call(say, timeout_s=5, idempotent=False))
        await eventually(lambda: sum(fleet.calls()), description="the call has arrived")
        used = next(replica for replica in fleet.replicas if replica.calls)
        await used.stop()
        with pytest.raises(LeptonError):
            await call
        assert sum(fleet.calls()) == 1


async def test_a_connection_that_was_never_made_is_retried_for_every_call() -> None:
    async with _fleet(2) as fleet:
        await fleet.replicas[0].stop()
        for _ in range(10):
            assert await fleet.pool.call(say, timeout_s=5, idempotent=False) == b"hello"


async def test_a_replica_that_restarts_at_its_address_is_used_again() -> None:
    async with _fleet(2) as fleet:
        replica = fleet.replicas[0]
        await fleet.pool.call(say, timeout_s=5)
        await replica.stop()
        for _ in range(10):
            await fleet.pool.call(say, timeout_s=5)
        before = replica.calls
        await replica.start(replica.address)

        async def used_again() -> bool:
            await fleet.pool.call(say, timeout_s=5)
            return replica.calls > before + 5

        await eventually(used_again, timeout_s=8, description="the restarted replica gets calls")


async def test_a_replica_that_keeps_failing_is_ejected() -> None:
    async with _fleet(2) as fleet:
        broken = fleet.replicas[0]
        broken.answer = failing(Unavailable("Broken."))
        other = fleet.replicas[1].address
        for _ in range(5):
            with fleet.pool.pick(exclude=(other,)) as pick, contextlib.suppress(grpc.aio.AioRpcError):
                try:
                    await say(pick.channel, 5)
                except grpc.aio.AioRpcError as error:
                    pick.failed(error)
                    raise
        assert fleet.pool.ejected == {broken.address}


async def test_a_cancelled_call_speaks_against_nobody() -> None:
    async with _fleet(2) as fleet:
        for replica in fleet.replicas:
            replica.answer = slow(5)
        calls = [asyncio.create_task(fleet.pool.call(say, timeout_s=5)) for _ in range(20)]
        await eventually(lambda: sum(fleet.calls()) == 20, description="all calls have arrived")
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert fleet.pool.ejected == set()
        await eventually(
            lambda: all(replica.under_way == 0 for replica in fleet.replicas), description="the servers have stopped"
        )


async def test_a_replica_has_so_many_calls_of_a_pool_at_once_and_more_follow() -> None:
    async with _fleet(1) as fleet:
        replica = fleet.replicas[0]
        most = 0
        full = asyncio.Event()

        async def held(request: bytes) -> bytes:
            nonlocal most
            most = max(most, replica.under_way)
            if most >= MAX_CALLS_PER_CONNECTION:
                full.set()
            await full.wait()
            return request

        replica.answer = held
        answers = await asyncio.gather(*(fleet.pool.call(say, timeout_s=30) for _ in range(500)))
        assert answers == [b"hello"] * 500
        assert most == MAX_CALLS_PER_CONNECTION


async def test_a_call_that_gets_no_turn_in_its_time_says_so_and_later_ones_are_answered() -> None:
    async with _fleet(1) as fleet:
        replica = fleet.replicas[0]
        replica.answer = slow(60)
        holding = [asyncio.create_task(fleet.pool.call(say, timeout_s=60)) for _ in range(MAX_CALLS_PER_CONNECTION)]
        await eventually(lambda: replica.under_way == len(holding), description="the connection is full")
        raised = await _raises(fleet, DeadlineExceeded, timeout_s=0.2)
        assert (raised.reason, replica.calls) == ("NO_TURN", len(holding))
        for call in holding:
            call.cancel()
        await asyncio.gather(*holding, return_exceptions=True)
        replica.answer = slow(0)
        assert await fleet.pool.call(say, timeout_s=5) == b"hello"


async def test_changes_of_the_addresses_can_be_followed() -> None:
    async with _fleet(2) as fleet:
        changes = fleet.pool.changed()
        assert len(await anext(changes)) == 2
        await fleet.publications[fleet.replicas[0].address].withdraw()
        assert await anext(changes) == {fleet.replicas[1].address}
        await fleet.pool.close()
        assert [each async for each in changes] == [frozenset()]
