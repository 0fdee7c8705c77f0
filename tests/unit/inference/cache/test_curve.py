"""The curve of hits over sizes is that of a real LRU cache, and memory goes where it saves most."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.inference.cache.capacity import Demand, available_bytes, budget_bytes, share
from services.inference.cache.curve import SAMPLE, HitCurve

KIB = 1 << 10
SIZE = 100


def zipf(count: int, keys: int, *, seed: int = 1) -> list[int]:
    weights = [1 / (rank + 1) for rank in range(keys)]
    return random.Random(seed).choices(range(keys), weights, k=count)


def lru_hits(sequence: Sequence[int], capacity_bytes: int) -> float:
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in sequence:
        hits += key in kept
        kept[key] = None
        kept.move_to_end(key)
        if len(kept) > capacity_bytes // SIZE:
            kept.popitem(last=False)
    return hits / len(sequence)


def measured(sequence: Sequence[int], smallest_bytes: int = 16 * KIB, largest_bytes: int = 1024 * KIB) -> HitCurve:
    curve = HitCurve(smallest_bytes, largest_bytes)
    order = random.Random(7)
    names: dict[int, int] = {}
    for key in sequence:
        name = names.setdefault(key, order.getrandbits(64))
        if name % SAMPLE == 0:
            curve.observe(name, SIZE)
    return curve


@pytest.mark.parametrize("capacity_kib", [64, 256, 1024])
def test_the_curve_is_near_to_what_an_lru_cache_of_that_size_finds(capacity_kib: int) -> None:
    sequence = [1000 + each for each in zipf(120_000, 8000)]
    for key in range(100):  # the few keys that are a large share of all would be in the sample or not
        sequence = [each for each in sequence if each != 1000 + key]
    found = measured(sequence).hit_ratio(capacity_kib * KIB)
    assert found == pytest.approx(lru_hits(sequence, capacity_kib * KIB), abs=0.08)


def test_inputs_that_never_come_again_are_seen_as_such() -> None:
    curve = measured(range(50_000))
    assert curve.samples > 2000
    assert curve.hit_ratio(curve.sizes[-1]) == 0.0


def test_a_loop_is_found_whole_or_not_at_all() -> None:
    curve = measured([key for _ in range(10) for key in range(4000)])  # 400 kB
    assert curve.hit_ratio(128 * KIB) == 0.0
    assert curve.hit_ratio(1024 * KIB) > 0.8


def test_it_takes_bounded_memory_and_forgets_old_counts() -> None:
    curve = HitCurve(KIB, 1 << 40)
    for key in range(20_000):
        curve.observe(key, 1)
    assert len(curve._where) <= 4096
    for _ in range(20_000):
        curve.observe(1, 1)
    assert curve.hit_ratio(KIB) > 0.95


def demand(*ratios: float, saved_per_s: float = 1.0) -> Demand:
    return Demand([100, 200, 400, 800], ratios, saved_per_s)


def test_memory_goes_where_it_saves_most() -> None:
    flat, steep = demand(0.5, 0.501, 0.502, 0.503), demand(0.1, 0.3, 0.5, 0.7)
    assert share({"flat": flat, "steep": steep}, 2000) == {"flat": 100, "steep": 800}


def test_a_slow_model_is_worth_more_than_a_fast_one() -> None:
    fast, slow = demand(0.1, 0.3, 0.5, 0.7, saved_per_s=0.01), demand(0.1, 0.2, 0.3, 0.4, saved_per_s=1.0)
    assert share({"fast": fast, "slow": slow}, 900) == {"fast": 100, "slow": 800}


def test_what_brings_nothing_more_is_not_spent() -> None:
    assert share({"one": demand(0.5, 0.9, 0.9, 0.9)}, 10_000) == {"one": 200}


def test_a_loop_gets_all_that_it_needs_or_nothing_more() -> None:
    loop = demand(0.0, 0.0, 0.0, 0.9)
    assert share({"loop": loop}, 800) == {"loop": 800}
    assert share({"loop": loop}, 700) == {"loop": 100}


def test_memory_of_the_machine_and_of_the_container_both_bound(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable:    2000 kB\n")
    assert available_bytes(meminfo=meminfo, cgroup=tmp_path) == 2000 * 1024
    for name, value in (("max", "1000000"), ("current", "900000"), ("stat", "anon 1\ninactive_file 50000\n")):
        (tmp_path / f"memory.{name}").write_text(value)
    assert available_bytes(meminfo=meminfo, cgroup=tmp_path) == 150_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(meminfo=meminfo, cgroup=tmp_path) == 2000 * 1024
    assert available_bytes(meminfo=tmp_path / "none", cgroup=tmp_path / "none") is None


def test_the_budget_is_never_more_than_was_allowed() -> None:
    assert budget_bytes(1000, 0) <= 1000
