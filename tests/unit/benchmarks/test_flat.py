"""The flat suite: what counts as flat, and CPU time that is counted for the calls alone."""

from __future__ import annotations

import asyncio
import time

from benchmarks.flat.cost import Cost, is_flat, measure, median, ratios


def cost(caller_us: float, service_us: float = 0.0) -> Cost:
    return Cost(caller_us, service_us, p50_ms=1.0, per_s=1.0)


def test_ratios_are_those_of_the_same_round_so_that_a_slower_machine_changes_none() -> None:
    costs = {1: [cost(100), cost(200), cost(100)], 64: [cost(105), cost(210), cost(400)]}
    assert ratios(costs) == {1: 1.0, 64: 1.05}


def test_flat_is_what_never_costs_a_tenth_more_than_at_first() -> None:
    assert is_flat({1: 1.0, 10: 1.09, 100: 0.5})
    assert not is_flat({1: 1.0, 10: 1.2, 100: 1.0})


def test_the_median_is_taken_of_each_figure() -> None:
    assert median([cost(1, 30), cost(2, 10), cost(3, 20)]) == cost(2, 20)


async def test_the_cpu_of_calls_is_measured() -> None:
    async def call(_number: int) -> object:
        end_s = time.thread_time() + 0.002
        while time.thread_time() < end_s:
            pass
        await asyncio.sleep(0)
        return None

    found = await measure(call, callers=2, seconds=0.2, service=None)
    assert 1_900 < found.caller_us < 6_000
    assert found.service_us == 0.0
