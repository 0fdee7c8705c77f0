"""Events are found by time, label and kind, stand there once whoever adds them again, and are told to watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition
from services.health.events.database import EventsDatabase, recall
from services.health.events.event import Event
from services.health.events.timeline import Timeline

DEPLOY = Event(100.0, "deploy", "resnet is served", {"model": "resnet", "version": "1"}, key="d1")
RESTART = Event(200.0, "restart", "inference was restarted", {"service": "inference", "instance": "a:1"})


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[EventsDatabase]:
    database = EventsDatabase(tmp_path / "events.sqlite")
    yield database
    await database.close()


@pytest.fixture
async def timeline(database: EventsDatabase) -> Timeline:
    timeline = Timeline(database, max_events=50)
    await timeline.start()
    return timeline


async def test_events_are_found_the_newest_first(timeline: Timeline) -> None:
    await timeline.add(RESTART)
    await timeline.add(DEPLOY)
    assert [event.title for event in await timeline.find()] == [RESTART.title, DEPLOY.title]
    assert await timeline.find(limit=1) == await timeline.find(start_s=150.0)
    assert await timeline.find(end_s=150.0) == await timeline.find(labels={"model": "resnet", "version": "1"})
    assert await timeline.find(kinds=["restart"]) == await timeline.find(labels={"instance": "a:1"})
    assert await timeline.find(labels={"model": "'; DROP TABLE events; --"}) == []


async def test_an_event_is_the_same_whatever_was_asked_for_in_between(timeline: Timeline) -> None:
    event = Event(1.5, "alert", "猫 is slow", {"alertname": "慢"}, "anna", {"why": "“x”"}, "key")
    await timeline.add(event)
    assert await timeline.find() == [event]


async def test_what_is_added_again_stands_there_once_also_after_a_restart(
    timeline: Timeline, database: EventsDatabase
) -> None:
    await timeline.add(DEPLOY)
    await timeline.add(RESTART)
    later = Timeline(database, max_events=50)
    await later.start()
    await later.add(replace(RESTART))
    await later.add(replace(DEPLOY, title="other words"))
    assert {event.title for event in await later.find()} == {DEPLOY.title, RESTART.title}


async def test_an_event_gains_its_actor_and_keeps_it(timeline: Timeline) -> None:
    await timeline.add(DEPLOY)
    await timeline.add(replace(DEPLOY, actor="anna", title="anna's words"))
    await timeline.add(replace(DEPLOY, actor="bob"))
    (event,) = await timeline.find()
    assert (event.actor, event.title) == ("anna", "anna's words")


async def test_an_event_can_take_the_place_of_another(timeline: Timeline, database: EventsDatabase) -> None:
    await timeline.add(DEPLOY)
    told = replace(DEPLOY, key="audit/1", actor="anna")
    await timeline.add_all([told], instead={"audit/1": "d1"}, memory=("seen", "1"))
    assert await timeline.find() == [told]
    assert await database.read(lambda connection: recall(connection, "seen")) == "1"


async def test_the_oldest_events_go(timeline: Timeline) -> None:
    for index in range(60):
        await timeline.add(replace(RESTART, time_s=float(index)))
    found = await timeline.find(limit=1000)
    assert [event.time_s for event in found] == [float(index) for index in range(59, 9, -1)]


async def test_watchers_hear_of_what_is_added_from_now_on(timeline: Timeline) -> None:
    await timeline.add(replace(DEPLOY, key="before"))
    changes = timeline.changes(kinds=["deploy"])
    coming = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)  # it listens
    await timeline.add(RESTART)
    await timeline.add(DEPLOY)
    assert await coming == DEPLOY
    await timeline.add(replace(DEPLOY, actor="anna"))
    assert await anext(changes) == replace(DEPLOY, actor="anna"), "again, as more is known"
    timeline.close()
    with pytest.raises(StopAsyncIteration):
        await anext(changes)


async def test_a_file_of_a_later_release_is_refused(tmp_path: Path) -> None:
    database = EventsDatabase(tmp_path / "e.sqlite")
    await database.write(lambda connection: connection.execute("PRAGMA user_version = 99"))
    await database.close()
    with pytest.raises(FailedPrecondition, match="schema 99"):
        EventsDatabase(tmp_path / "e.sqlite")
