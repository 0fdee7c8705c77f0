"""A pool on real gRPC servers asks a second replica when the first takes long, within bounds, and both sides say so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest

from lepton_ai.errors import ResourceExhausted
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.load import LOAD_KEY, Load
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.retry import REPEAT_KEY
from lepton_ai.mesh.serving.interceptors import map_errors, metrics_layer, notes_layer, tracing_layer
from lepton_ai.mesh.tracing import Tracing, client_interceptors
from lepton_ai.testing import captured_spans, eventually
from tests.integration.mesh.replicas import Replica, failing, running_replicas, say, slow

LIMIT = 100
USUAL_S = 0.02


@dataclass(frozen=True)
class Fleet:
    replicas: list[Replica]
    pool: ServicePool

    async def say(self, *, hedge: str | None = "say", idempotent: bool = True) -> bytes:
        return await self.pool.call(say, timeout_s=5, hedge=hedge, idempotent=idempotent)

    @property
    def calls(self) -> int:
        return sum(replica.calls for replica in self.replicas)


@contextlib.asynccontextmanager
async def _fleet(count: int = 2, *, hedging: bool = True, tracing: Tracing | None = None) -> AsyncIterator[Fleet]:
    """Replicas of which it is known that 95 % of their answers take at most USUAL_S."""
    metrics = Metrics("echo")
    layers = [metrics_layer(metrics), map_errors, notes_layer(metrics, limit=LIMIT)]
    interceptors: list[grpc.aio.ClientInterceptor] = []
    if tracing is not None:
        layers, interceptors = [tracing_layer(tracing), *layers], client_interceptors(tracing.tracer)
    async with running_replicas(count, layers) as replicas:
        endpoints = fixed_endpoints("echo", [replica.address for replica in replicas])
        pool = ServicePool("echo", endpoints, interceptors=interceptors, hedging=hedging)
        await pool.start()
        fleet = Fleet(replicas, pool)
        try:
            if pool._hedging is not None:
                for _ in range(60):
                    pool._hedging.of("say").observe(USUAL_S)
                    pool._hedging.budget.deposit()
            yield fleet
        finally:
            await pool.close()


def _hang(fleet: Fleet) -> asyncio.Event:
    """The next call that arrives anywhere hangs until the event; all others are answered."""
    go_on, hangs = asyncio.Event(), False

    async def answer(request: bytes) -> bytes:
        nonlocal hangs
        if not hangs:
            hangs = True
            await go_on.wait()
        return request

    for replica in fleet.replicas:
        replica.answer = answer
    return go_on


async def test_a_call_that_takes_long_is_answered_by_another_replica_and_cancelled_at_the_first() -> None:
    async with _fleet() as fleet:
        before = fleet.calls
        _hang(fleet)
        assert await fleet.say() == b"hello"
        assert fleet.calls == before + 2
        assert [note for replica in fleet.replicas for note in replica.notes] == ["hedge"]
        await eventually(
            lambda: all(replica.under_way == 0 for replica in fleet.replicas), description="the loser is cancelled"
        )
        assert not any(fleet.pool._balancer.under_way.values())


@pytest.mark.parametrize("kind", [{"hedge": None}, {"idempotent": False}])
async def test_calls_that_must_not_be_made_twice_are_not(kind: dict[str, bool | None]) -> None:
    async with _fleet() as fleet:
        before = fleet.calls
        go_on = _hang(fleet)
        call = asyncio.create_task(fleet.say(**kind))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        assert fleet.calls == before + 1
        go_on.set()
        assert await call == b"hello"


async def _expect_one_call(fleet: Fleet) -> None:
    """A call that takes far longer than usual is waited for, and made only once."""
    before = fleet.calls
    go_on = _hang(fleet)
    call = asyncio.create_task(fleet.say())
    await asyncio.sleep(0.1)
    assert fleet.calls == before + 1
    go_on.set()
    assert await call == b"hello"


@pytest.mark.parametrize(("count", "hedging"), [(1, True), (2, False)])
async def test_with_one_replica_or_switched_off_there_are_no_hedges(count: int, hedging: bool) -> None:
    async with _fleet(count, hedging=hedging) as fleet:
        await _expect_one_call(fleet)


async def test_while_the_pool_has_too_much_to_do_no_call_is_made_twice() -> None:
    async with _fleet() as fleet:
        for replica in fleet.replicas:
            replica.answer = failing(ResourceExhausted("Busy.", retry_after_s=0.01))
        with pytest.raises(ResourceExhausted):
            await fleet.say()
        await _expect_one_call(fleet)


async def test_at_most_a_twentieth_of_the_calls_is_made_twice() -> None:
    async with _fleet(3) as fleet:
        for replica in fleet.replicas:
            replica.answer = slow(2 * USUAL_S)
        before = fleet.calls
        for _ in range(20):
            await asyncio.gather(*(fleet.say() for _ in range(20)))
        hedges = fleet.calls - before - 400
        assert 1 <= hedges <= 0.05 * 460


async def test_spans_say_that_a_call_is_a_hedge() -> None:
    with captured_spans() as captured:
        async with _fleet(tracing=captured.tracing) as fleet:
            _hang(fleet)
            await fleet.say()
            spans = await captured.wait_for("test.Echo/Say", count=4)
    hedges = [span for span in spans if (span.attributes or {}).get("lepton.repeat") == "hedge"]
    assert {span.kind.name for span in hedges} == {"CLIENT", "SERVER"}
    assert len({span.get_span_context().trace_id for span in hedges}) == 1


async def test_a_server_tells_its_load_to_who_asks_and_to_nobody_else() -> None:
    async with _fleet(1) as fleet, grpc.aio.insecure_channel(fleet.replicas[0].address) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Echo/Say")
        await method(b"")
        asked = method(b"", metadata=((LOAD_KEY, "?"),))
        load = Load.parse(str(dict(await asked.trailing_metadata() or ())[LOAD_KEY]))
        assert load is not None
        assert (load.in_flight, load.limit) == (1, LIMIT)
        assert 0 < load.latency_s < 1
        assert LOAD_KEY not in dict(await method(b"").trailing_metadata() or ())
        fleet.replicas[0].answer = failing(ResourceExhausted("Busy.", retry_after_s=0.01))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(b"", metadata=((LOAD_KEY, "?"), (REPEAT_KEY, "retry")))
        assert LOAD_KEY in dict(refused.value.trailing_metadata() or ())
        assert from_rpc_error(refused.value).retry_after_s == 0.01


async def test_a_server_tells_how_many_calls_its_service_would_take_as_full_as_it_is() -> None:
    metrics = Metrics("echo")
    layers = [metrics_layer(metrics), notes_layer(metrics, limit=1000, fullness=lambda: 0.25)]
    async with (
        running_replicas(1, layers) as replicas,
        grpc.aio.insecure_channel(replicas[0].address) as channel,
    ):
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Echo/Say")
        asked = method(b"", metadata=((LOAD_KEY, "?"),))
        load = Load.parse(str(dict(await asked.trailing_metadata() or ())[LOAD_KEY]))
    assert load is not None
    assert (load.in_flight, load.limit) == (1, 4)


async def test_a_pool_whose_replicas_report_to_be_nearly_full_has_too_much_to_do() -> None:
    async with _fleet() as fleet:
        for replica in fleet.replicas:
            replica.answer = slow(0.05)

        async def caller() -> None:
            while not fleet.pool._balancer.overloaded:
                await fleet.say(hedge="slow")

        async with asyncio.timeout(10):
            await asyncio.gather(*(caller() for _ in range(LIMIT)))


async def test_a_server_counts_the_calls_that_were_made_before() -> None:
    metrics = Metrics("echo")
    async with (
        running_replicas(1, [notes_layer(metrics, limit=LIMIT)]) as replicas,
        grpc.aio.insecure_channel(replicas[0].address) as channel,
    ):
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Echo/Say")
        for note in ("retry", "hedge", "hedge", "another word"):
            await method(b"", metadata=((REPEAT_KEY, note),))
        await method(b"")
    name = "lepton_rpc_server_repeats_total"
    assert [metrics.registry.get_sample_value(name, {"kind": kind}) for kind in ("retry", "hedge")] == [1, 2]
