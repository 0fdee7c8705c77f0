"""A day of clean load, in virtual time, wakes nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.health.alerts.lifecycle import Outcome, advance
from services.health.alerts.memory.clock import Clock
from services.health.alerts.memory.records import Alert, Slo
from services.health.alerts.slo.counting import Counting
from services.health.alerts.slo.judge import SloJudge
from tests.unit.health.alerts.slo.load import START_S, constant, load
from tests.virtual_time import run_in_virtual_time

HOURS, STEP_S = 24, 120.0
PROMISE = Slo(id="cats", availability=0.999, latency_s=0.25, latency_share=0.99)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "rate_per_s"), [(1, 5.0), (2, 0.3)])
def test_a_day_of_clean_load_pages_at_most_once(seed: int, rate_per_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures and late answers are half of what is promised, and come by chance; the load follows the day."""
    monkeypatch.setattr(asyncio, "to_thread", _at_once)  # a thread would wait for real time
    reader = load(HOURS, rate_per_s=rate_per_s, failing=constant(0.0005), slow=constant(0.005), seed=seed)

    async def watch() -> set[str]:
        judge = SloJudge(lambda: (PROMISE,), Counting(reader))
        clock, alerts, pages = Clock(), dict[str, Alert](), set[str]()
        for step in range(int(HOURS * 3600 / STEP_S)):
            await asyncio.sleep(STEP_S)
            firings = await judge.judge(START_S + step * STEP_S)
            changed = advance(alerts, Outcome(judge.name, firings), clock.now(), max_alerts=10)
            alerts |= {each.id: each for each in changed}
            pages |= {each.episode for each in alerts.values() if each.is_firing and each.severity == "page"}
        return pages

    assert len(run_in_virtual_time(watch(), monkeypatch)) <= 1


async def _at_once(work: Callable[..., object], *arguments: object) -> object:
    return work(*arguments)
