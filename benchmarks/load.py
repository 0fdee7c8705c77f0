"""Closed-loop load: so many callers, each sending its next request when it has its answer."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Call = Callable[[int], Awaitable[object]]
"""Makes the request with this number and waits for its answer."""


@dataclass(frozen=True)
class Measurement:
    """What one run of load saw."""

    per_s: float
    p50_ms: float
    p99_ms: float
    count: int


async def closed_loop(call: Call, *, callers: int, seconds: float, warm_up_s: float = 1.0) -> Measurement:
    """Run the load; what ends within the warm-up is not counted. A failing call ends the run with its error."""
    begin_s = time.perf_counter() + warm_up_s
    end_s = begin_s + seconds
    latencies_s: list[float] = []

    async def caller(number: int) -> None:
        while (sent_s := time.perf_counter()) < end_s:
            await call(number)
            done_s = time.perf_counter()
            if begin_s <= done_s <= end_s:
                latencies_s.append(done_s - sent_s)
            number += callers

    await asyncio.gather(*(caller(number) for number in range(callers)))
    cuts = statistics.quantiles(latencies_s, n=100)
    count = len(latencies_s)
    return Measurement(per_s=count / seconds, p50_ms=cuts[49] * 1e3, p99_ms=cuts[98] * 1e3, count=count)
