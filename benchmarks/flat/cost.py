"""What a call costs: CPU of the process that makes it and of the service that answers it, and the time it takes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.load import Call, closed_loop

ALLOWED = 1.10
"""A cost up to so many times the first one is flat."""
_IDLE_S = 1.0
_WARM_UP_CALLS = 100


@dataclass(frozen=True)
class Cost:
    """Of one call, in one round."""

    caller_us: float
    """CPU of the caller's process."""
    service_us: float
    """CPU of the service's process, without what it takes when nobody calls; 0 where none is watched."""
    p50_ms: float
    per_s: float


async def measure(call: Call, *, callers: int, seconds: float, service: psutil.Process | None = None) -> Cost:
    """The cost of calls that so many callers make without a pause. The caller is this process."""
    for number in range(_WARM_UP_CALLS):
        await call(number)
    idle = 0.0 if service is None else await _idle_share(service)
    calls = 0

    async def counted(number: int) -> object:
        nonlocal calls
        calls += 1
        return await call(number)

    begin_s, own_s, served_s = time.perf_counter(), time.process_time(), _cpu_s(service)
    measured = await closed_loop(counted, callers=callers, seconds=seconds, warm_up_s=0.0)
    took_s = time.perf_counter() - begin_s
    own_us = (time.process_time() - own_s) / calls * 1e6
    served_us = max(0.0, _cpu_s(service) - served_s - idle * took_s) / calls * 1e6
    return Cost(own_us, served_us, measured.p50_ms, measured.per_s)


async def _idle_share(service: psutil.Process) -> float:
    """The part of a core that it takes when nobody calls."""
    before_s, begin_s = _cpu_s(service), time.perf_counter()
    await asyncio.sleep(_IDLE_S)
    return (_cpu_s(service) - before_s) / (time.perf_counter() - begin_s)


def _cpu_s(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def median(costs: Sequence[Cost]) -> Cost:
    """Each figure's median."""
    figures = zip(*((each.caller_us, each.service_us, each.p50_ms, each.per_s) for each in costs), strict=True)
    return Cost(*(statistics.median(values) for values in figures))


def ratios(costs: Mapping[int, Sequence[Cost]]) -> dict[int, float]:
    """For each number the median ratio of the CPU of both sides to that of the first number in the same round."""
    base = next(iter(costs.values()))
    return {
        number: statistics.median(_both(each) / _both(first) for each, first in zip(rounds, base, strict=True))
        for number, rounds in costs.items()
    }


def is_flat(found: Mapping[int, float]) -> bool:
    """Whether none costs more than is allowed."""
    return all(ratio <= ALLOWED for ratio in found.values())


def _both(cost: Cost) -> float:
    return cost.caller_us + cost.service_us
