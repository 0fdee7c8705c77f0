"""The shared store behaves alike in memory, in Valkey and in Redis; what keeps its faults away works with each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.testing import eventually
from lepton_ai.testing.memory_shared_store import MemorySharedStore
from services.inference.cache.shared.harmless import PATIENCE_S, SharedCache
from services.inference.cache.shared.redis_store import RedisStore
from services.inference.cache.shared.store import SharedStore, Written
from tests.valkey import redis_server, running_valkey

KEY = bytes(range(32))
GROUP = "group"


@pytest.fixture(params=["memory", "valkey", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SharedStore, SharedStore]]:
    """Two replicas' views of one store."""
    if request.param == "memory":
        store = MemorySharedStore()
        yield store, store
        return
    program = None
    if request.param == "redis" and (program := redis_server()) is None:
        pytest.skip("redis-server is a Debian package, which is not installed; Valkey comes from a wheel")
    async with running_valkey(program) as server:
        pair = RedisStore(server.url), RedisStore(server.url)
        yield pair
        await asyncio.gather(*(each.close() for each in pair))


async def test_values_are_found_until_their_time_has_passed(stores: tuple[SharedStore, SharedStore]) -> None:
    one, other = stores
    await one.put([Written("group/0/a", b"long", 60.0), Written("group/0/b", b"short", 0.05)])
    assert (await other.get(["group/0/a", "group/0/none"])) == [b"long", None]

    async def is_gone() -> bool:
        return (await other.get(["group/0/b"])) == [None]

    await eventually(is_gone, timeout_s=5, description="its time passes")


async def test_a_dropped_group_has_a_new_generation_and_holds_nothing(stores: tuple[SharedStore, SharedStore]) -> None:
    one, other = stores
    await one.put([Written(f"group/0/{number}", b"value", 60.0) for number in range(2500)])
    await one.put([Written("grouping/0/a", b"of another group", 60.0)])
    assert list(await other.generations(["group", "grouping"])) == [0, 0]
    assert await one.drop("group") == 1
    assert list(await other.generations(["group", "grouping"])) == [1, 0]
    assert set(await other.get([f"group/0/{number}" for number in range(2500)])) == {None}
    assert (await other.get(["grouping/0/a"])) == [b"of another group"]


async def test_who_listens_hears_of_drops(stores: tuple[SharedStore, SharedStore]) -> None:
    one, other = stores
    async with aclosing(other.dropped()) as news:
        assert await anext(news) == ""
        await one.drop("group")
        await one.drop("another")
        assert [await anext(news), await anext(news)] == ["group", "another"]


@pytest.fixture
async def caches(stores: tuple[SharedStore, SharedStore]) -> AsyncIterator[tuple[SharedCache, SharedCache, list[str]]]:
    """Two replicas, and what the second one was told to drop."""
    dropped: list[str] = []
    one = SharedCache(stores[0], on_drop=lambda _: None, patience_s=1.0)
    other = SharedCache(stores[1], on_drop=dropped.append, patience_s=1.0)
    for cache in (one, other):
        cache.start()
        cache.use(GROUP)
    yield one, other, dropped
    await asyncio.gather(one.close(), other.close())


async def found(cache: SharedCache, key: bytes = KEY) -> bytes | None:
    values = await cache.get(GROUP, [key])
    return values[key].content if key in values else None


async def kept(cache: SharedCache, content: bytes) -> bool:
    cache.put(GROUP, KEY, content, ttl_s=60.0)
    return await found(cache) == content


async def test_what_one_replica_keeps_the_other_finds(caches: tuple[SharedCache, SharedCache, list[str]]) -> None:
    one, other, _ = caches
    await eventually(lambda: kept(one, b"content"), timeout_s=5, description="it is written")

    async def other_has_it() -> bool:
        return await found(other) == b"content"

    await eventually(other_has_it, timeout_s=5, description="the other one finds it")
    assert 59 < (await other.get(GROUP, [KEY]))[KEY].ttl_s <= 60


async def test_what_one_replica_drops_the_other_forgets(caches: tuple[SharedCache, SharedCache, list[str]]) -> None:
    one, other, dropped = caches
    await eventually(lambda: kept(one, b"content"), timeout_s=5, description="it is written")
    await eventually(lambda: kept(other, b"content"), timeout_s=5, description="the other one takes part")
    await one.drop(GROUP)
    assert await found(one) is None
    await eventually(lambda: GROUP in dropped, timeout_s=5, description="the other one hears of it")
    assert await found(other) is None


async def test_a_value_under_the_wrong_key_is_never_handed_out(stores: tuple[SharedStore, SharedStore]) -> None:
    cache = SharedCache(stores[0], on_drop=lambda _: None, patience_s=1.0)
    cache.start()
    cache.use(GROUP)
    await eventually(lambda: kept(cache, b"mine"), timeout_s=5, description="it is written")
    (sealed,) = await stores[0].get([f"{GROUP}/0/{KEY.hex()}"])
    assert sealed is not None
    other = bytes(32)
    await stores[0].put([Written(f"{GROUP}/0/{other.hex()}", sealed, 60.0)])
    await stores[0].put([Written(f"{GROUP}/0/{bytes(31).hex()}01", sealed[:10], 60.0)])
    assert await found(cache, other) is None
    assert await found(cache, bytes(31) + b"\1") is None
    await cache.close()


async def test_a_server_that_comes_back_is_used_again() -> None:
    async with running_valkey() as server:
        cache = SharedCache(RedisStore(server.url), on_drop=lambda _: None, patience_s=1.0)
        cache.start()
        cache.use(GROUP)
        await eventually(lambda: kept(cache, b"content"), timeout_s=5, description="it is written")
        await server.stop()

        async def is_left_alone() -> bool:
            await found(cache)
            return not cache.is_up

        await eventually(is_left_alone, timeout_s=10, description="the breaker opens")
        began_s = time.monotonic()
        for _ in range(100):
            assert await found(cache) is None
        assert time.monotonic() - began_s < 1.0
        await server.start()
        await eventually(lambda: kept(cache, b"again"), timeout_s=30, description="it is used again")
        await cache.close()


async def test_a_server_that_hangs_costs_a_call_a_few_milliseconds_and_soon_nothing() -> None:
    async with running_valkey() as server:
        cache = SharedCache(RedisStore(server.url), on_drop=lambda _: None)
        cache.start()
        cache.use(GROUP)
        assert server.process is not None

        async def takes_part() -> bool:
            return GROUP in cache._generations

        await eventually(takes_part, timeout_s=5, description="it takes part")
        server.process.send_signal(19)  # SIGSTOP
        began_s = time.monotonic()
        for _ in range(200):
            assert await found(cache) is None
        spent_s = time.monotonic() - began_s
        server.process.send_signal(18)
        assert not cache.is_up
        assert spent_s < 20 * PATIENCE_S + 0.5
        await cache.close()


async def test_a_store_that_is_not_there_raises_what_the_caller_knows(tmp_path: Path) -> None:
    store = RedisStore(f"unix://{tmp_path}/none")
    with pytest.raises(Unavailable):
        await store.get(["key"])
    await store.close()
    with pytest.raises(FailedPrecondition):
        RedisStore("http://127.0.0.1")
