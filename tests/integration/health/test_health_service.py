"""The health service on shared state in memory, with a real server as the replica it watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2 as standard
from grpc_health.v1 import health_pb2_grpc as standard_grpc

from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing import MemoryStore, eventually, quick_settings
from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import health_pb2_grpc, registry_pb2
from services.health.service import build
from services.health.settings import HealthSettings


@dataclass
class World:
    """A health service and the state it follows."""

    state: MemoryStore
    channel: grpc.aio.Channel

    async def status(self) -> pb.PlatformStatus:
        return await health_pb2_grpc.HealthServiceStub(self.channel).GetStatus(pb.GetStatusRequest(), timeout=5)

    async def service(self, name: str) -> pb.ServiceStatus:
        return next(service for service in (await self.status()).services if service.name == name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    state = MemoryStore()
    settings = HealthSettings(
        data_dir=tmp_path,
        port=0,
        check_interval_s=0.05,
        check_timeout_s=0.5,
        probe_interval_s=0.1,
        probe_timeout_s=0.5,
        propagation_s=0,
    )
    server = await build(settings, state, Tracing.create("health", settings))
    address = await server.start()
    await server.ready()
    async with grpc.aio.insecure_channel(address) as channel:
        yield World(state, channel)
    await server.drain()


@pytest.fixture
async def replica(world: World) -> AsyncIterator[Server]:
    """A ready process that calls itself preprocess."""
    settings = quick_settings()
    tracing = Tracing.create("preprocess", settings)
    server = Server("preprocess", settings, state=world.state, tracing=tracing, metrics=Metrics("preprocess"))
    await server.start()
    await server.ready()
    yield server
    await server.drain()


async def test_a_registered_replica_that_answers_is_healthy(world: World, replica: Server) -> None:
    service = await eventually(lambda: world.service("preprocess"), description="preprocess is known")
    assert [each.address for each in service.replicas] == [replica.address]
    assert service.condition == pb.CONDITION_HEALTHY


async def test_a_registered_replica_that_does_not_answer_is_unhealthy_and_says_why(world: World) -> None:
    await register(world.state, Endpoint("inference", "127.0.0.1:1"))

    async def refused() -> bool:
        replicas = (await world.service("inference")).replicas
        return bool(replicas) and "nothing answers there" in replicas[0].message

    await eventually(refused, description="the dead replica is noticed")
    assert (await world.status()).condition == pb.CONDITION_UNHEALTHY


async def test_a_drained_replica_disappears(world: World, replica: Server) -> None:
    await eventually(lambda: world.service("preprocess"), description="preprocess is known")
    await replica.drain()

    async def gone() -> bool:
        return not (await world.service("preprocess")).replicas

    await eventually(gone, description="the replica is gone")


async def test_a_deployed_model_that_nobody_serves_is_unhealthy(world: World) -> None:
    target = registry_pb2.WeightedVersion(version=1, weight=1)
    wanted = registry_pb2.Deployment(
        model="digits", generation=1, routes=[registry_pb2.Route(alias="production", targets=[target])]
    )
    await world.state.put(f"{DEPLOYMENTS}digits", json_format.MessageToJson(wanted).encode())

    async def told() -> bool:
        models = (await world.status()).models
        return bool(models) and models[0].condition == pb.CONDITION_UNHEALTHY and bool(models[0].message)

    await eventually(told, description="the model is reported")
    stub = standard_grpc.HealthStub(world.channel)  # type: ignore[no-untyped-call, unused-ignore]

    async def mirrored() -> bool:
        request = standard.HealthCheckRequest(service="model/digits")
        answer = await stub.Check(request, timeout=5)  # type: ignore[attr-defined]
        return bool(answer.status == standard.HealthCheckResponse.NOT_SERVING)

    await eventually(mirrored, description="grpc.health.v1 says so, too")


async def test_watchers_hear_of_changes(world: World) -> None:
    statuses = health_pb2_grpc.HealthServiceStub(world.channel).WatchStatus(pb.WatchStatusRequest(), timeout=10)
    await register(world.state, Endpoint("registry", "127.0.0.1:1"))
    async for status in statuses:
        if any(service.name == "registry" and service.replicas for service in status.services):
            break
    statuses.cancel()


async def test_while_the_shared_state_is_away_the_last_view_stands(world: World, replica: Server) -> None:
    await eventually(lambda: world.service("preprocess"), description="preprocess is known")
    world.state.down()

    async def says_so() -> bool:
        return any("etcd does not answer" in problem for problem in (await world.status()).problems)

    await eventually(says_so, description="the outage is told")
    assert (await world.service("preprocess")).replicas
    world.state.up()
