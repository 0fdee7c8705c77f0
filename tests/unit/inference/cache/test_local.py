"""The cache of one process: bounded by bytes, keeps what is asked for often, lets go at once."""

from __future__ import annotations

import gc
import random
import time
import weakref

from lepton_ai.testing import eventually
from services.inference.cache.local import LocalStore


class Value:
    """Something that can be watched being let go."""


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def fill(store: LocalStore[Value], numbers: range, size_bytes: int = 1000) -> list[weakref.ref[Value]]:
    watched = []
    for number in numbers:
        value = Value()
        watched.append(weakref.ref(value))
        store.put(key(number), value, size_bytes=size_bytes, ttl_s=60)
    return watched


def living(watched: list[weakref.ref[Value]]) -> int:
    gc.collect()
    return sum(each() is not None for each in watched)


def test_values_of_any_size_never_take_more_than_the_capacity() -> None:
    store: LocalStore[bytes] = LocalStore(100_000)
    sizes = random.Random(1)
    for number in range(5000):
        size = sizes.choice((10, 1000, 30_000, 99_000))
        store.put(key(number), b"", size_bytes=size, ttl_s=60)
    store.settle()
    assert 0 < store.size_bytes <= 100_000


def test_a_value_larger_than_the_capacity_is_not_kept() -> None:
    store: LocalStore[str] = LocalStore(1000)
    store.put(key(1), "large", size_bytes=1001, ttl_s=60)
    store.put(key(2), "small", size_bytes=999, ttl_s=60)
    store.settle()
    assert (store.get(key(1)), store.get(key(2))) == (None, "small")


def test_what_is_asked_for_often_outlives_a_scan() -> None:
    store: LocalStore[str] = LocalStore(100_000)
    for _ in range(5):
        for number in range(50):
            if store.get(key(number)) is None:
                store.put(key(number), "often", size_bytes=1000, ttl_s=60)
    for number in range(1000, 6000):
        store.put(key(number), "once", size_bytes=1000, ttl_s=60)
    assert sum(store.get(key(number)) == "often" for number in range(50)) >= 45


async def test_values_are_gone_when_their_time_has_passed() -> None:
    store: LocalStore[str] = LocalStore(1000)
    store.put(key(1), "short", size_bytes=10, ttl_s=0.05)
    store.put(key(2), "long", size_bytes=10, ttl_s=60)
    await eventually(lambda: store.get(key(1)) is None, timeout_s=5, description="its time passes")
    assert store.get(key(2)) == "long"


def test_clearing_frees_the_memory_at_once() -> None:
    store: LocalStore[Value] = LocalStore(1 << 20)
    watched = fill(store, range(500))
    assert living(watched) == 500
    store.clear()
    assert living(watched) == 0
    assert store.size_bytes == 0


def test_a_larger_store_still_finds_what_the_smaller_one_had() -> None:
    store: LocalStore[Value] = LocalStore(200_000)
    fill(store, range(100))
    store.resize(400_000)
    assert all(store.get(key(number)) is not None for number in range(100))
    store.settle()
    assert all(store.get(key(number)) is not None for number in range(100))


def test_a_smaller_store_takes_over_what_is_asked_for_and_lets_the_rest_go() -> None:
    store: LocalStore[Value] = LocalStore(1 << 20)
    watched = fill(store, range(500))
    store.resize(100_000)
    assert all(store.get(key(number)) is not None for number in range(20))
    store.settle()
    assert all(store.get(key(number)) is not None for number in range(20))
    assert living(watched) <= 120
    assert store.size_bytes <= 100_000


def test_while_it_changes_size_it_takes_no_more_than_the_larger_of_both() -> None:
    store: LocalStore[Value] = LocalStore(100_000)
    fill(store, range(100))
    store.resize(200_000)
    fill(store, range(1000, 1200))
    assert store.size_bytes <= 200_000


def test_a_value_that_grows_is_weighed_again_and_keeps_its_time() -> None:
    store: LocalStore[str] = LocalStore(1000)
    store.put(key(1), "value", size_bytes=10, ttl_s=0.2)
    store.reweigh(key(1), 500)
    store.settle()
    assert store.size_bytes == 500
    end_s = time.monotonic() + 0.3
    while store.get(key(1)) is not None:
        assert time.monotonic() < end_s
