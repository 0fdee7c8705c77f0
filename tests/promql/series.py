"""Series as a platform has them: counters that start again, histograms, gauges, gaps, ends. The same in every run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.health.metrics.series import NAME, STALE, Matcher, Series

START_S = 1_700_000_040
"""A multiple of a minute. Queries ask at half seconds, and no sample lies there: Prometheus 2 and 3 differ on edges."""
LENGTH_S = 4500
INTERVAL_S = 15.0
BUCKETS = ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "+Inf")


@dataclass(frozen=True)
class MemoryReader:
    """Series in memory."""

    series: Sequence[Series]

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        found = []
        for each in self.series:
            if all(matcher.matches(each.labels) for matcher in matchers):
                inside = (each.times_s > start_s) & (each.times_s <= end_s)
                if inside.any():
                    found.append(Series(each.labels, each.times_s[inside], each.values[inside]))
        return found


def platform() -> list[Series]:
    """All series."""
    chance = random.Random(12)
    return [*counters(chance), *histograms(chance), *gauges(chance), *oddities(chance)]


def moments(
    chance: random.Random, *, begin_s: float = 0, end_s: float = LENGTH_S, every_s: float = INTERVAL_S
) -> list[float]:
    """Times of scrapes: every interval, a little late, in milliseconds that end in 3."""
    count = int((end_s - begin_s) / every_s)
    return [START_S + begin_s + every_s * k + 0.003 + chance.randrange(0, 200) / 100 for k in range(count)]


def series(name: str, times_s: list[float], values: list[float], **labels: str) -> Series:
    return Series({NAME: name, **labels}, np.array(times_s), np.array(values))


def counters(chance: random.Random) -> Iterator[Series]:
    for model in ("cat", "dog", "owl"):
        for version in ("1", "2"):
            for code in ("ok", "error"):
                for instance in ("a:1", "b:1"):
                    times = moments(chance)
                    pace = chance.uniform(0.1, 40) * (0.02 if code == "error" else 1)
                    resets = chance.choice((0, 0.003, 0.02))
                    values = climb(chance, len(times), pace, start=chance.uniform(1e5, 1e6), resets=resets)
                    if model == "owl" and version == "2":
                        times, values = with_gap(times, values, 1500, 2100)
                    if model == "dog" and version == "2":
                        times, values = with_end(times, values, 2600, 3100)
                    labels = {"model": model, "version": version, "code": code, "instance": instance}
                    yield series("requests_total", times, values, **labels)
    born = moments(chance, begin_s=2000)
    values = climb(chance, len(born), 3, start=5e5, resets=0)
    yield series("requests_total", born, values, model="emu", version="1", code="ok", instance="a:1")


def climb(chance: random.Random, count: int, pace: float, *, start: float, resets: float) -> list[float]:
    values, value = [], start
    for _ in range(count):
        value = 0.0 if chance.random() < resets else value + float(chance.randrange(0, int(pace * 30) + 2))
        values.append(value)
    return values


def with_gap(times: list[float], values: list[float], begin_s: float, end_s: float) -> tuple[list[float], list[float]]:
    kept = [k for k, at in enumerate(times) if not begin_s <= at - START_S <= end_s]
    return [times[k] for k in kept], [values[k] for k in kept]


def with_end(times: list[float], values: list[float], begin_s: float, end_s: float) -> tuple[list[float], list[float]]:
    """A series that ends with a mark and comes back."""
    times, values = with_gap(times, values, begin_s, end_s)
    at = START_S + begin_s + 1.003
    place = sum(each < at for each in times)
    return [*times[:place], at, *times[place:]], [*values[:place], STALE, *values[place:]]


def histograms(chance: random.Random) -> Iterator[Series]:
    for model in ("cat", "dog"):
        for instance in ("a:1", "b:1"):
            labels = {"model": model, "instance": instance}
            times = moments(chance)
            counts, total, rows = [0.0] * len(BUCKETS), 0.0, []
            for _ in times:
                for _ in range(chance.randrange(0, 30)):
                    seconds = chance.lognormvariate(-3 if model == "cat" else -1, 1)
                    total += seconds
                    counts = [n + (seconds <= float(bound)) for n, bound in zip(counts, BUCKETS, strict=True)]
                rows.append((*counts, total))
            for k, bound in enumerate(BUCKETS):
                yield series("latency_seconds_bucket", times, [row[k] for row in rows], **labels, le=bound)
            yield series("latency_seconds_count", times, [row[-2] for row in rows], **labels)
            yield series("latency_seconds_sum", times, [row[-1] for row in rows], **labels)


def gauges(chance: random.Random) -> Iterator[Series]:
    shapes: dict[str, Callable[[int], float]] = {
        "temperature": lambda k: 20 + 9 * math.sin(k / 17) + chance.gauss(0, 0.4),
        "memory_bytes": lambda k: 2e9 + k * 1e6 + chance.randrange(0, 50) * 4096,
        "queue_depth": lambda k: float(chance.choice((0, 0, 0, 1, 2, 7)) * (1 + k % 40 // 20)),
        "balance": lambda k: chance.uniform(-3, 3) + 0 * k,
    }
    for name, shape in shapes.items():
        for instance in ("a:1", "b:1", "c:1"):
            times = moments(chance)
            yield series(name, times, [shape(k) for k in range(len(times))], instance=instance)
    for instance, zone in (("a:1", "east"), ("b:1", "west"), ("c:1", "west")):
        times = moments(chance)
        yield series("instance_info", times, [1.0] * len(times), instance=instance, zone=zone, build="v1.2")
        values = [float(chance.random() > 0.15) for _ in times]
        times, values = with_end(times, values, 2600, 3100) if instance == "c:1" else (times, values)
        yield series("up", times, values, instance=instance)


def oddities(chance: random.Random) -> Iterator[Series]:
    times = moments(chance)
    strange = [chance.choice((1.5, -2.0, math.nan, math.inf, 0.0)) for _ in times]
    yield series("strange", times, strange, kind="all")
    yield series("strange", times, [math.nan if k % 3 else 1.0 for k, _ in enumerate(times)], kind="nan")
    yield series("constant", times, [7.25] * len(times), kind="flat", empty="")
    sparse = moments(chance, every_s=240)
    yield series("sparse", sparse, [float(k * k) for k, _ in enumerate(sparse)], kind="slow")
    rare = moments(chance, every_s=420)
    yield series("sparse", rare, [float(k) for k, _ in enumerate(rare)], kind="rare")
    yield series("odd_total", times, [1.0] * len(times), kind="中文 \"'\n")
    one_bucket = [float(k) for k, _ in enumerate(times)]
    yield series("broken_bucket", times, one_bucket, le="0.1", kind="no infinity")
    yield series("broken_bucket", times, [2 * each for each in one_bucket], le="0.1", kind="falls")
    yield series("broken_bucket", times, one_bucket, le="0.5", kind="falls")
    yield series("broken_bucket", times, [3 * each for each in one_bucket], le="+Inf", kind="falls")
    yield series("broken_bucket", times, one_bucket, le="many", kind="falls")
