"""The cache: how many lookups it finds beside LRU and the best fixed choice, and how fast photos come out of it."""

from __future__ import annotations

import random
import statistics
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import grpc
import yaml

from benchmarks.load import Call, Measurement, closed_loop
from benchmarks.report import Report
from benchmarks.usage import cpu_seconds
from examples.efficientnet_lite0 import photos
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from services.inference.cache.local import LocalStore
from tests.platform import Platform

NAME = "efficientnet-lite0-kept"
_ROUNDS = 3
_CALLERS = (16, 64)
_KEYS = 20_000
_LOOKUPS = 200_000
_SHARES = (0.01, 0.05, 0.2)
"""Capacities, as shares of the bytes of all values."""

Trace = Sequence[int]
Policy: TypeAlias = inference_pb2.CachePolicy.ValueType


def write_kept(package: Path) -> Path:
    """Turn a copy of the package of EfficientNet-lite0 into one under another name, whose answers may be kept."""
    path = package / "lepton.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(document | {"name": NAME, "cache": {"answers": True}}), encoding="utf-8")
    return package


async def measure(platform: Platform, *, seconds: float) -> list[Report]:
    """Both tables."""
    return [measure_hits(), await _measure_photos(platform, seconds)]


def measure_hits(*, keys: int = _KEYS, lookups: int = _LOOKUPS) -> Report:
    """Share of the lookups found, by access pattern and capacity. Values have 0.5 to 30 KB, most of them few."""
    sizes = [int(min(30_000, max(500, random.Random(key).lognormvariate(8, 1)))) for key in range(2 * keys + lookups)]
    rows = []
    for name, trace in _traces(keys, lookups).items():
        for share in _SHARES:
            capacity = int(share * sum(sizes[:keys]))
            found = [find(trace, sizes, capacity) for find in (_ours, _lru, _static)]
            rows.append([name, f"{share:.0%}", *(f"{each:.3f}" for each in found), f"{found[0] / found[1]:.2f}"])
    note = (
        f"{lookups:,} lookups of {keys:,} keys. The best fixed choice knows the future: it holds, from the beginning, "
        "what is asked for most for its bytes."
    )
    columns = ("lookups", "capacity", "Lepton (W-TinyLFU)", "LRU", "best fixed choice", "of LRU")
    return Report("Hit ratio of the cache", columns, rows, note)


def _traces(keys: int, lookups: int) -> Mapping[str, Trace]:
    chance = random.Random(5)
    weights = [1 / (rank + 1) for rank in range(keys)]
    ranks = chance.choices(range(keys), weights, k=lookups)
    names = list(range(keys))
    chance.shuffle(names)
    moved = [(rank + step * keys // 10) % keys for step in range(10) for rank in ranks[: lookups // 10]]
    once = iter(range(keys, keys + lookups))
    scanned = [names[rank] if index % 2 else next(once) for index, rank in enumerate(ranks)]
    return {
        "Zipf": [names[rank] for rank in ranks],
        "Zipf that shifts ten times": [names[rank] for rank in moved],
        "Zipf, every other one a scan": scanned,
    }


def _ours(trace: Trace, sizes: Sequence[int], capacity: int) -> float:
    store: LocalStore[bool] = LocalStore(capacity)
    hits = 0
    for key in trace:
        name = key.to_bytes(32, "little")
        if store.get(name):
            hits += 1
        else:
            store.put(name, True, size_bytes=sizes[key], ttl_s=3600)
    return hits / len(trace)


def _lru(trace: Trace, sizes: Sequence[int], capacity: int) -> float:
    kept: OrderedDict[int, None] = OrderedDict()
    used = hits = 0
    for key in trace:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
            continue
        kept[key] = None
        used += sizes[key]
        while used > capacity:
            used -= sizes[kept.popitem(last=False)[0]]
    return hits / len(trace)


def _static(trace: Trace, sizes: Sequence[int], capacity: int) -> float:
    hits = 0
    counts = Counter(trace)
    for key, count in sorted(counts.items(), key=lambda each: each[1] / sizes[each[0]], reverse=True):
        if sizes[key] <= capacity:
            capacity -= sizes[key]
            hits += count
    return hits / len(trace)


async def _measure_photos(platform: Platform, seconds: float) -> Report:
    content = [photo.path.read_bytes() for photo in photos()]
    address = platform.state.addresses["inference"].split(",")[0]
    async with grpc.aio.insecure_channel(address) as channel:
        rows = []
        for callers in _CALLERS:
            rows += await _compare(platform, _calls(channel, content), callers, seconds)
    kib = statistics.mean(map(len, content)) / 1024
    note = (
        f"Photos of {kib:.0f} KiB on average, the same ones over and over. Ratio: median of {_ROUNDS} rounds, each "
        "beside one that passes the cache by. The client takes its share of the same cores."
    )
    columns = ("photos that come again", "callers", "photos/s", "ratio", "p50 ms", "p99 ms", "CPU ms a photo")
    return Report("Photos from the cache", columns, rows, note)


def _calls(channel: grpc.aio.Channel, content: Sequence[bytes]) -> Callable[[Policy], Call]:
    stub = inference_pb2_grpc.InferenceServiceStub(channel)

    def calls(policy: Policy) -> Call:
        requests = [
            inference_pb2.PredictRequest(
                model=common_pb2.ModelRef(name=NAME),
                items=[common_pb2.Item(inputs={"photo": common_pb2.Value(data=photo)})],
                options=inference_pb2.PredictOptions(cache=policy),
            )
            for photo in content
        ]

        async def call(number: int) -> object:
            return await stub.Predict(requests[number % len(requests)], timeout=60)

        return call

    return calls


async def _compare(
    platform: Platform,
    calls: Callable[[Policy], Call],
    callers: int,
    seconds: float,
) -> list[list[str]]:
    ratios: list[float] = []
    last: dict[str, tuple[Measurement, float]] = {}
    for _ in range(_ROUNDS):
        for name, policy in (
            ("computed", inference_pb2.CACHE_POLICY_BYPASS),
            ("from the cache", inference_pb2.CACHE_POLICY_UNSPECIFIED),
        ):
            before_s = cpu_seconds(platform)
            measured = await closed_loop(calls(policy), callers=callers, seconds=seconds, warm_up_s=0.5)
            used_s = cpu_seconds(platform) - before_s
            last[name] = measured, used_s / (measured.per_s * (seconds + 0.5)) * 1000
        ratios.append(last["from the cache"][0].per_s / last["computed"][0].per_s)
    return [
        [
            name,
            str(callers),
            f"{measured.per_s:,.0f}",
            "1.0" if name == "computed" else f"{statistics.median(ratios):.1f}",
            f"{measured.p50_ms:.1f}",
            f"{measured.p99_ms:.1f}",
            f"{cpu_ms:.2f}",
        ]
        for name, (measured, cpu_ms) in last.items()
    ]
