"""One change is one event with its actor, whether the shared state or the audit trail tells first, over restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.records import (
    Endpoint,
    deployment_key,
    encode_deployment,
    encode_serving_state,
    serving_key,
)
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, ENDPOINTS, SERVING
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import health_pb2
from lepton_ai.v1 import registry_pb2 as pb
from services.health.events.changes import follower as module
from services.health.events.changes.follower import ChangeFollower
from services.health.events.changes.seen import Seen
from services.health.events.database import EventsDatabase
from services.health.events.event import Event
from services.health.events.timeline import Timeline
from tests.unit.health.events.deployed import AT_S, Trail, deployment, entry

NOW = float(AT_S)


class World:
    """The shared state, a registry's audit trail, and the file of events, over restarts of health."""

    def __init__(self, path: Path) -> None:
        self.state = MemoryStore()
        self.trail = Trail()
        self.path = path

    @asynccontextmanager
    async def health(self) -> AsyncIterator[tuple[ChangeFollower, Timeline]]:
        """A follower that looks only when the test has it look."""
        database = EventsDatabase(self.path)
        watches = {prefix: await self.state.watch(prefix) for prefix in (ENDPOINTS, DEPLOYMENTS, SERVING)}
        timeline = Timeline(database, max_events=1000)
        await timeline.start()
        follower = ChangeFollower(watches, self.trail, timeline, database)
        await follower.restore()
        yield follower, timeline
        for watch in watches.values():
            await watch.close()
        await database.close()

    async def deploy(self, wanted: pb.Deployment) -> None:
        await self.state.put(deployment_key(wanted.model), encode_deployment(wanted))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "events.sqlite")


def told(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Kind and actor, the oldest first."""
    return [(event.kind, event.actor.partition("@")[0]) for event in reversed(events)]


async def test_a_deploy_is_one_event_with_its_actor(world: World) -> None:
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        await world.deploy(deployment(1))
        await follower.look(NOW + 1)
        assert told(await timeline.find()) == [], "etcd hears of it a moment before the audit trail"
        world.trail.entries.append(entry(1, "deploy", after=deployment(1)))
        await follower.look(NOW + 1.5)
        await follower.look(NOW + 2)
        assert told(await timeline.find()) == [("deploy", "anna")]


async def test_the_audit_trail_may_tell_first(world: World) -> None:
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        world.trail.entries.append(entry(1, "deploy", after=deployment(1)))
        await follower.look(NOW + 1)
        await world.deploy(deployment(1))
        await follower.look(NOW + 2)
        assert told(await timeline.find()) == [("deploy", "anna")]


async def test_several_changes_at_once_are_as_many_events(world: World) -> None:
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        world.trail.entries += [
            entry(1, "push", after={"version": 1}),
            entry(2, "deploy", after=deployment(1)),
            entry(3, "set_alias", after={"alias": "staging", "version": 1}, actor="bob@x"),
        ]
        await world.deploy(deployment(1, generation=2, staging=1))
        await follower.look(NOW + 1)
        assert told(await timeline.find()) == [("push", "anna"), ("deploy", "anna"), ("alias", "bob")]


async def test_while_the_registry_is_away_a_change_is_told_without_its_actor_who_is_added_later(world: World) -> None:
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        world.trail.is_away = True
        await world.deploy(deployment(1))
        await follower.look(NOW + 1)
        assert told(await timeline.find()) == [("deploy", "")]
    world.trail.is_away = False
    world.trail.entries.append(entry(1, "deploy", after=deployment(1)))
    async with world.health() as (follower, timeline):
        await follower.look(NOW + 60)
        assert told(await timeline.find()) == [("deploy", "anna")]


async def test_what_somebody_wrote_into_etcd_himself_is_told_when_the_audit_trail_does_not_explain_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPLAIN_S", 0.0)
    async with world.health() as (follower, timeline):
        world.trail.entries.append(entry(1, "deploy", after=deployment(1)))
        await world.deploy(deployment(1))
        await follower.look(NOW)
        await world.deploy(deployment(2))
        await follower.look(NOW + 1)
        assert told(await timeline.find(kinds=["deploy"])) == [("deploy", "anna"), ("deploy", "")]


async def test_a_restart_of_health_tells_nothing_twice_and_misses_nothing(world: World) -> None:
    world.trail.entries.append(entry(1, "deploy", after=deployment(1)))
    await world.deploy(deployment(1))
    await register(world.state, Endpoint("inference", "a:1"))
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        before = await timeline.find()
        assert told(before) == [("replica_joined", ""), ("deploy", "anna")]
    async with world.health() as (follower, timeline):
        await follower.look(NOW + 10)
        assert await timeline.find() == before
    world.trail.entries.append(entry(2, "undeploy", before=deployment(1)))
    await world.state.delete(deployment_key("resnet"))
    async with world.health() as (follower, timeline):
        await follower.look(NOW + 20)
        assert told(await timeline.find(kinds=["undeploy"])) == [("undeploy", "anna")]
        assert len(await timeline.find()) == 3


async def test_an_outage_of_etcd_is_no_change(world: World) -> None:
    await register(world.state, Endpoint("inference", "a:1"))
    await world.deploy(deployment(1))
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        before = await timeline.find()
    world.state.down()
    async with world.health() as (follower, timeline):
        await follower.look(NOW + 10)
        await follower.look(NOW + 60)
        assert await timeline.find() == before


async def test_a_version_that_cannot_be_served_is_told_and_when_it_is_served_again(world: World) -> None:
    states = (health_pb2.VERSION_STATE_FAILED, health_pb2.VERSION_STATE_LOADING, health_pb2.VERSION_STATE_SERVING)
    async with world.health() as (follower, timeline):
        for second, state in enumerate((*states, *states)):
            version = health_pb2.VersionStatus(model="resnet", version=2, state=state, message="no memory")
            serving = health_pb2.ServingState(replica="a:1", versions=[version])
            await world.state.put(serving_key("a:1"), encode_serving_state(serving))
            await follower.look(NOW + second)
        found = await timeline.find(labels={"model": "resnet", "version": "2", "instance": "a:1"})
        assert [event.kind for event in reversed(found)] == ["serving_failed", "serving"] * 2
        assert found[-1].title == "a:1 cannot serve version 2 of resnet: no memory"


async def test_a_triton_that_was_started_anew_is_told_once_also_over_restarts(world: World) -> None:
    async def say(restarts: int) -> None:
        serving = health_pb2.ServingState(replica="a:1", triton_ready=True, triton_restarts=restarts)
        await world.state.put(serving_key("a:1"), encode_serving_state(serving))

    await say(3)
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        assert await timeline.find() == [], "what was before health is no news"
        await say(4)
        await follower.look(NOW + 1)
        await follower.look(NOW + 2)
    async with world.health() as (follower, timeline):
        await follower.look(NOW + 3)
        await say(0)  # the replica began again
        await follower.look(NOW + 4)
        await say(1)
        await follower.look(NOW + 5)
        found = await timeline.find(labels={"service": "triton", "instance": "a:1"}, kinds=["restart"])
        assert [(event.time_s - NOW, event.title) for event in found] == [
            (5, "the Triton of a:1 was started anew"), (1, "the Triton of a:1 was started anew"),
        ]  # fmt: skip


async def test_a_trail_with_a_long_past_is_told_with_its_own_times(world: World) -> None:
    world.trail.entries += [entry(number, "push", after={"version": number}) for number in range(1, 6)]
    async with world.health() as (follower, timeline):
        await follower.look(NOW + 1000)
        assert [event.time_s for event in await timeline.find()] == [AT_S + number for number in range(5, 0, -1)]


async def test_what_cannot_be_written_is_told_when_it_can(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        monkeypatch.setattr("services.health.events.timeline._add", _full_disk)
        world.trail.entries.append(entry(1, "deploy", after=deployment(1)))
        await follower.look(NOW + 1)
        monkeypatch.undo()
        await follower.look(NOW + 2)
        assert told(await timeline.find()) == [("deploy", "anna")]


def _full_disk(*_: object, **__: object) -> int:
    import sqlite3

    raise sqlite3.OperationalError("database or disk is full")


def test_what_was_seen_is_the_same_after_a_restart() -> None:
    seen = Seen(
        deployments={"猫": deployment(3, model="猫", staging=2)}, audit_id=7, audit_hash="x", untold={"猫": "k"}
    )
    assert Seen.from_json(seen.to_json()) == seen


async def test_workers_that_share_a_triton_tell_of_one_restart_once(world: World) -> None:
    async def say(restarts: int, *, port: int = 1, host: str = "10.0.0.1") -> None:
        replica = f"{host}:{port}"
        serving = health_pb2.ServingState(replica=replica, triton_restarts=restarts, triton_address="127.0.0.1:8001")
        await world.state.put(serving_key(replica), encode_serving_state(serving))

    for port in (1, 2):
        await say(0, port=port)
    await say(0, host="10.0.0.2")
    async with world.health() as (follower, timeline):
        await follower.look(NOW)
        await say(1, port=2)
        await follower.look(NOW + 1)
        await say(1, host="10.0.0.2")
        await follower.look(NOW + 2)
    async with world.health() as (follower, timeline):
        await say(1, port=1)  # half a second later than its neighbour, and health has begun again
        await follower.look(NOW + 3)
        await say(2, port=1)
        await say(2, port=2)
        await follower.look(NOW + 4)
        found = await timeline.find(kinds=["restart"])
        assert [(event.time_s - NOW, event.labels["instance"]) for event in found] == [
            (4, "10.0.0.1:1"), (2, "10.0.0.2:1"), (1, "10.0.0.1:2"),
        ]  # fmt: skip
