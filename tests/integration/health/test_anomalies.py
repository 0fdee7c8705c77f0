"""The judge of metrics over hours of simulated load: quiet on a clean day, and soon there when something breaks.

No sockets, but half a minute of arithmetic.
"""

from __future__ import annotations

import asyncio

import pytest

from lepton_ai.errors import LeptonError
from services.health.alerts.firing import ALERT_NAME, Firing
from services.health.detect.anomalies.judge import HISTORY_S, MAX_FIRINGS, AnomalyJudge
from services.health.detect.anomalies.watch import Episode
from services.health.metrics.series import SeriesReader
from tests.simulated_platform import BEGIN_S, Fault, simulated

AFTER_S = 9000.0
"""Faults begin after two and a half hours."""


async def watched(
    reader: SeriesReader, first_s: float, until_s: float, *, every_s: float
) -> list[tuple[float, Firing]]:
    """What a judge that is asked every so often finds first of each kind: seconds since the beginning, firing."""
    judge, found, known = AnomalyJudge(reader), list[tuple[float, Firing]](), set[str]()
    now_s = BEGIN_S + first_s
    while now_s <= BEGIN_S + until_s:
        for firing in await patient(judge, now_s):
            name = repr(sorted(firing.labels.items()))
            if name not in known:
                known.add(name)
                found.append((now_s - BEGIN_S, firing))
        now_s += every_s
    return found


async def patient(judge: AnomalyJudge, now_s: float) -> list[Firing]:
    """What it finds, once it has read enough of the past."""
    while True:
        try:
            return list(await judge.judge(now_s))
        except LeptonError as error:
            assert error.reason == "LEARNING"


@pytest.mark.timeout(300)
def test_a_clean_day_has_no_more_than_one_alarm() -> None:
    found = asyncio.run(watched(simulated(24), 600, 24 * 3600, every_s=600))
    assert len(found) <= 1, [firing.annotations["summary"] for _, firing in found]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "alert", "within_s"),
    [
        (Fault(AFTER_S, slower=3), "LatencyUnusual", 90),
        (Fault(AFTER_S, errors=0.1), "ErrorsUnusual", 90),
        (Fault(AFTER_S, traffic=0.2), "TrafficUnusual", 120),
        (Fault(AFTER_S, busier=2), "CombinationUnusual", 180),
        (Fault(AFTER_S, slower=2.5, grows_s=7200), "LatencyUnusual", 3600),
        (Fault(AFTER_S, leak_bytes_s=60_000), "MemoryUnusual", 3600),
    ],
    ids=["three times slower", "10 % errors", "a fifth of the traffic", "twice the CPU", "slower and slower", "leak"],
)
def test_a_fault_is_found(fault: Fault, alert: str, within_s: float) -> None:
    reader = simulated(4, fault=fault)
    found = asyncio.run(watched(reader, AFTER_S, AFTER_S + within_s, every_s=within_s / 6))
    assert found, "nothing was found"
    assert all(time_s >= AFTER_S for time_s, _ in found)
    assert {firing.labels[ALERT_NAME] for _, firing in found} == {alert}
    (_, first), *_ = found
    assert first.labels.get("model") in ("resnet", None)
    assert first.annotations["summary"]


async def test_a_judge_that_starts_late_has_read_what_was_usual() -> None:
    judge = AnomalyJudge(simulated(4, fault=Fault(AFTER_S, slower=3)))
    found = await patient(judge, BEGIN_S + AFTER_S + 300)
    assert [firing.labels[ALERT_NAME] for firing in found] == ["LatencyUnusual"]


async def test_a_clock_that_jumps_an_hour_neither_blinds_nor_alarms() -> None:
    judge = AnomalyJudge(simulated(6))
    middle_s = BEGIN_S + 3 * 3600
    assert await patient(judge, middle_s) == []
    assert await patient(judge, middle_s - 3600) == []
    assert await patient(judge, middle_s - 3590) == []
    assert judge._until_s == middle_s - 3590
    assert await patient(judge, middle_s + 3600 + HISTORY_S / 2) == []


async def test_many_anomalies_are_a_few_firings() -> None:
    judge = AnomalyJudge(simulated(0.5))
    now_s = BEGIN_S + 1800
    await patient(judge, now_s)
    ((what, _), watch), *_ = judge._watches.items()
    watch.episode = Episode("level", now_s, 1.0, 9.0)
    for number in range(50):
        judge._watches[what, (f"m{number}", "1")] = watch
    found = await patient(judge, now_s)
    assert len(found) == MAX_FIRINGS
    assert found[-1].labels[ALERT_NAME] == "ManyAnomalies"
    assert found[-1].value >= 31
