"""The observer goes on looking whatever stands in the shared state and whatever fails, and says when it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, cast

import pytest

from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.records import Endpoint, deployment_key, encode_deployment
from lepton_ai.mesh.serving.health import NOT_SERVING, SERVICE_UNKNOWN, Health
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2
from services.health.observe.observer import Observer
from services.health.observe.probes import ModelProber
from services.health.observe.replicas import ReplicaChecker
from services.health.observe.view import ReplicaCheck
from services.health.servicer import mirror
from services.health.settings import HealthSettings

QUICK = {"check_interval_s": 0.01, "check_timeout_s": 0.5, "probe_interval_s": 0.01, "probe_timeout_s": 0.5}


class Checker:
    """In place of a ReplicaChecker: everybody serves, unless told otherwise."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked: list[str] = []
        self.rounds = 0

    async def check_all(self, addresses: Iterable[str]) -> Mapping[str, ReplicaCheck]:
        self.rounds += 1
        self.asked = list(addresses)
        if self.failure:
            raise self.failure
        return {address: ReplicaCheck(serving=True) for address in self.asked}

    async def close(self) -> None:
        """Nothing is open."""


class Prober:
    """In place of a ModelProber: every model is well, except those named in `failures`."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.probed: list[str] = []

    async def probe(self, deployment: registry_pb2.Deployment) -> pb.ProbeResult:
        self.probed.append(deployment.model)
        if deployment.model in self.failures:
            raise self.failures[deployment.model]
        return pb.ProbeResult(succeeded=True, model_version=1)


class World:
    def __init__(self) -> None:
        self.state, self.checker, self.prober = MemoryStore(), Checker(), Prober()
        settings = HealthSettings(**cast(Any, QUICK))
        self.observer = Observer(
            self.state, cast(ReplicaChecker, self.checker), cast(ModelProber, self.prober), settings
        )

    async def deploy(self, model: str) -> None:
        target = registry_pb2.WeightedVersion(version=1, weight=1)
        route = registry_pb2.Route(alias="production", targets=[target])
        wanted = registry_pb2.Deployment(model=model, routes=[route])
        await self.state.put(deployment_key(model), encode_deployment(wanted))

    def probe_of(self, model: str) -> pb.ProbeResult:
        return {each.name: each.last_probe for each in self.observer.current().models}[model]

    async def goes_on(self) -> None:
        """Both loops come round again, more than once."""
        rounds, probes = self.checker.rounds, len(self.prober.probed)
        await eventually(lambda: self.checker.rounds > rounds + 2, description="replicas are checked")
        await eventually(lambda: len(self.prober.probed) > probes + 2, description="models are probed")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.deploy("cat")
    await world.observer.start()
    yield world
    await world.observer.close()


POISON = [
    ("/lepton/deployments/x", b"{not json"),
    ("/lepton/deployments/x", b"\xff\xfe"),
    ("/lepton/deployments/x", b"[" * 100_000),
    ("/lepton/deployments/a/b/c", b'{"model": "cat"}'),
    ("/lepton/serving/1.2.3.4:5", b"{}x"),
    ("/lepton/endpoints/inference/not-an-address", b"{}x"),
    ("/lepton/endpoints/inference/127.0.0.1:9", b"{bad"),
    ("/lepton/endpoints/", b""),
]


@pytest.mark.parametrize(("key", "value"), POISON)
async def test_looking_goes_on_over_a_value_that_cannot_be_read(world: World, key: str, value: bytes) -> None:
    await world.state.put(key, value)
    await world.goes_on()
    await eventually(lambda: not world.observer.current().HasField("stale_since"), description="it is fresh")
    assert [model.name for model in world.observer.current().models] == ["cat"]


@pytest.mark.parametrize(("key", "value"), POISON)
async def test_it_starts_over_a_value_that_cannot_be_read(key: str, value: bytes) -> None:
    world = World()
    await world.deploy("cat")
    await world.state.put(key, value)
    await world.observer.start()
    await world.goes_on()
    await world.observer.close()


async def test_what_is_no_address_is_never_asked(world: World) -> None:
    await world.state.put("/lepton/endpoints/inference/not-an-address", b'{"Addr": "not-an-address"}')
    await register(world.state, Endpoint("inference", "127.0.0.1:1"))
    await eventually(lambda: world.checker.asked == ["127.0.0.1:1"], description="the other one alone is asked")


async def test_a_model_whose_probe_meets_a_fault_of_ours_keeps_no_other_from_its_probe(world: World) -> None:
    world.prober.failures["cat"] = ValueError("not to be told")
    await world.deploy("dog")
    await eventually(lambda: world.probe_of("dog").succeeded, description="the dog is probed")
    await eventually(lambda: bool(world.probe_of("cat").error), description="the cat's probe is told as failed")
    assert not world.probe_of("cat").succeeded
    assert "not to be told" not in world.probe_of("cat").error


async def test_a_round_of_checks_that_fails_is_not_the_last(world: World) -> None:
    world.checker.failure = OSError("no more files")
    failing = world.checker.rounds + 1
    await eventually(lambda: world.checker.rounds > failing, description="it is tried again")
    world.checker.failure = None
    await world.goes_on()


async def test_a_status_that_nobody_keeps_current_says_since_when_and_calls_nothing_healthy(world: World) -> None:
    await world.goes_on()
    world.checker.failure = ValueError("poison")
    await eventually(lambda: world.observer.current().HasField("stale_since"), description="it is called stale")
    status = world.observer.current()
    assert status.observed_at.ToNanoseconds() == status.stale_since.ToNanoseconds()
    assert status.problems[0].startswith("Stale since 2")
    conditions = {status.condition, *(each.condition for each in status.services)}
    conditions |= {each.condition for each in status.models}
    assert conditions.isdisjoint({pb.CONDITION_HEALTHY, pb.CONDITION_UNSPECIFIED})
    assert all("Stale since" in model.message for model in status.models)
    world.checker.failure = None
    await eventually(
        lambda: not world.observer.current().HasField("stale_since"), timeout_s=15, description="it is fresh again"
    )


async def test_watchers_hear_that_the_status_went_stale(world: World) -> None:
    world.checker.failure = ValueError("poison")
    async for status in world.observer.status.changes():
        if status.HasField("stale_since"):
            break


async def test_every_look_moves_the_time_of_observation(world: World) -> None:
    await world.goes_on()
    first = world.observer.current().observed_at.ToNanoseconds()
    await world.goes_on()
    assert world.observer.current().observed_at.ToNanoseconds() > first


async def test_the_standard_health_service_follows_until_the_observer_closes(world: World) -> None:
    health = Health()
    await eventually(lambda: bool(world.observer.status.value.models), description="the cat is known")
    await world.observer.close()
    await mirror(world.observer, health)
    assert health.status("model/cat") == NOT_SERVING
    assert health.status("model/dog") in (None, SERVICE_UNKNOWN)
