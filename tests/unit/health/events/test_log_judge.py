"""What is logged for the first time, and what is logged far more often than usual, is found; the rest is quiet."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lepton_ai.v1 import events_pb2 as pb
from services.health.events.database import BEGAN_S, EventsDatabase, remember
from services.health.events.logs.bursts import usual_limit
from services.health.events.logs.judge import NEW_FOR_S, LogJudge
from services.health.events.logs.log_book import LogBook
from tests.unit.health.events.reports import record, report

BEGAN, NOW = 1_700_000_000.0, 1_700_100_000.0


class World:
    """A book of records and its judge, in a time that the test says."""

    def __init__(self, database: EventsDatabase) -> None:
        self.now_s = NOW
        self.book = LogBook(database, max_records=100_000, max_templates=100, clock=lambda: self.now_s)
        self.judge = LogJudge(database)
        self._reported = 0

    async def log(self, message: str, times_s: Sequence[float], **more: object) -> None:
        self.now_s = max(self.now_s, *times_s, 0.0)
        for start in range(0, len(times_s), 1000):
            records = [record(message, at_s=time_s, **more) for time_s in times_s[start : start + 1000]]  # type: ignore[arg-type]
            await self.book.take(report(*records, first=self._reported + 1))
            self._reported += len(records)

    async def names(self, now_s: float) -> list[str]:
        return [firing.labels["alertname"] for firing in await self.judge.judge(now_s)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = EventsDatabase(tmp_path / "events.sqlite")
    await database.write(lambda connection: remember(connection, BEGAN_S, str(BEGAN)))
    yield World(database)
    await database.close()


async def test_an_error_that_was_never_logged_before_is_a_ticket_for_a_while(world: World) -> None:
    await world.log("the disk is gone", [NOW], level=pb.LOG_LEVEL_ERROR, trace_id="a" * 32)
    (firing,) = await world.judge.judge(NOW + 1)
    assert firing.labels == {
        "alertname": "NewErrorTemplate",
        "severity": "ticket",
        "service": "inference",
        "template": "1",
    }
    assert firing.annotations["summary"] == "inference logs an error that is new: the disk is gone"
    assert firing.annotations["trace_id"] == "a" * 32
    await world.log("the disk is gone", [NOW + NEW_FOR_S + 1], level=pb.LOG_LEVEL_ERROR)
    assert await world.names(NOW + NEW_FOR_S + 2) == []


async def test_a_new_warning_is_information(world: World) -> None:
    await world.log("a bit odd", [NOW])
    (firing,) = await world.judge.judge(NOW)
    assert firing.labels["severity"] == "info"


async def test_nothing_is_new_where_nothing_was_known(world: World) -> None:
    await world.log("as always", [BEGAN + 5], level=pb.LOG_LEVEL_ERROR)
    assert await world.names(BEGAN + 6) == []


async def test_a_burst_against_its_own_history_is_found_and_ends(world: World) -> None:
    await world.log("slow", [BEGAN + 60.0 * minute for minute in range(1, 1600)])  # one a minute for a day
    await world.log("slow", [NOW - 1.0 + index / 100 for index in range(40)])
    (firing,) = await world.judge.judge(NOW)
    assert firing.labels["alertname"] == "LogBurst"
    assert firing.value >= 40
    assert "in place of" in firing.annotations["summary"]
    assert await world.names(NOW + 120) == []


async def test_what_is_at_the_limit_is_one_burst_and_not_many(world: World) -> None:
    found = []
    for second in range(150):  # 10 to 12 in the last minute
        if second % 5 == 2:
            await world.log("collector failed", [NOW + second])
        found.append("LogBurst" in await world.names(NOW + second))
    assert all(found[found.index(True) :]), "it does not end and begin again"
    assert "LogBurst" not in await world.names(NOW + 150 + 121)


async def test_the_same_burst_of_what_always_comes_so_often_is_none(world: World) -> None:
    await world.log("chatty", [NOW - 7200 + index * 3.0 for index in range(2400)])
    assert await world.names(NOW) == []


async def test_an_hourly_job_is_no_burst_each_hour(world: World) -> None:
    await world.log("job", [NOW - 3600.0 * hour + index / 10 for hour in range(26) for index in range(50)][::-1])
    assert await world.names(NOW + 6) == []


async def test_few_records_are_no_burst(world: World) -> None:
    await world.log("rare", [BEGAN + 100, *[NOW - index for index in range(9)]])
    assert await world.names(NOW) == []


@pytest.mark.parametrize("rate", [0.2, 3, 40])
def test_chance_alone_makes_no_burst_in_hours(rate: float) -> None:
    draw = random.Random(7)
    minutes = [_poisson(draw, rate) for _ in range(800)]
    bursts = [now for now in range(200, 800) if minutes[now] > usual_limit(minutes[now - 200 : now])]
    assert bursts == []


def _poisson(draw: random.Random, rate: float) -> int:
    """How many arrivals of a Poisson process fall into one unit of time."""
    count, passed = 0, draw.expovariate(rate)
    while passed < 1:
        count += 1
        passed += draw.expovariate(rate)
    return count
