"""Replicas that share a cache: what one has computed the others answer, what one clears none does."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest

from lepton_ai.testing import eventually
from lepton_ai.testing.memory_shared_store import MemorySharedStore
from tests.unit.inference.cache.parts import bare, computed, photos, version
from tests.unit.inference.colours import (
    RED,
    DataPlane,
    data_plane,
    photo,
)


def _takes_part(plane: DataPlane) -> bool:
    shared = plane.caches.shared
    return shared is not None and next(plane.caches.partitions()).group in shared._generations


async def two_replicas(store: MemorySharedStore) -> tuple[DataPlane, DataPlane]:
    planes = [await data_plane(version(), store=store) for _ in range(2)]
    for plane in planes:
        plane.caches.start()
        plane.triton.compute_s = 0.02  # worth asking others
        await eventually(partial(_takes_part, plane), timeout_s=5, description="it takes part in the shared cache")
    return planes[0], planes[1]


async def test_another_replica_finds_it_and_answers_the_same_to_the_bit() -> None:
    store = MemorySharedStore()
    one, other = await two_replicas(store)
    first = await one.predict(photos(RED, outputs=["logits"]), one.call())
    await eventually(lambda: len(store.values) == 1, timeout_s=5, description="it is written")
    second = await other.predict(photos(RED, outputs=["logits"]), other.call())
    assert bare(first) == bare(second)
    assert (second.cached_rows, computed(other)) == (1, 0)
    third = await other.predict(photos(RED), other.call())
    counts = next(other.caches.partitions()).counts
    assert (third.cached_rows, counts.shared_hits, counts.local_hits) == (1, 1, 1)
    await asyncio.gather(one.caches.close(), other.caches.close())


async def test_what_one_replica_clears_no_other_answers_from() -> None:
    store = MemorySharedStore()
    one, other = await two_replicas(store)
    for plane in (one, other):
        await plane.predict(photos(RED), plane.call())
    assert await one.caches.clear("colours") > 0
    partition = next(other.caches.partitions())
    await eventually(lambda: partition.size_bytes == 0, timeout_s=5, description="the other one hears of it")
    assert (await other.predict(photos(RED), other.call())).cached_rows == 0
    await asyncio.gather(one.caches.close(), other.caches.close())


async def test_news_that_are_lost_are_looked_up_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.inference.cache.shared.harmless._CHECK_S", 0.05)
    store = MemorySharedStore()
    one, other = await two_replicas(store)
    await other.predict(photos(RED), other.call())
    store.deaf = True
    await one.caches.clear("colours")
    partition = next(other.caches.partitions())
    await eventually(lambda: partition.size_bytes == 0, timeout_s=5, description="the other one looks")
    await asyncio.gather(one.caches.close(), other.caches.close())


@pytest.mark.parametrize("fault", ["up", "delay_s"])
async def test_a_shared_cache_that_fails_or_hangs_fails_no_call(fault: str) -> None:
    store = MemorySharedStore()
    one, other = await two_replicas(store)
    setattr(store, fault, False if fault == "up" else 60.0)
    colours = random.Random(3)
    for _ in range(20):
        data = photo((colours.randrange(256), colours.randrange(256), colours.randrange(256)))
        assert (await one.predict(photos(data), one.call(timeout_s=1.0))).predictions[0].WhichOneof("outcome")
    shared = one.caches.shared
    assert shared is not None
    assert not shared.is_up
    await asyncio.gather(one.caches.close(), other.caches.close())
