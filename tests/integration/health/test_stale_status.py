"""A deployment is not called served on the word of a health service that could not look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.errors import DeadlineExceeded
from lepton_ai.testing import running
from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import health_pb2_grpc, registry_pb2, registry_pb2_grpc
from services.health.observe.assessment import assess, mark_stale
from services.health.observe.view import ReplicaCheck, View

TARGET = registry_pb2.WeightedVersion(version=1, weight=1)
DEPLOYMENT = registry_pb2.Deployment(model="m", routes=[registry_pb2.Route(alias="production", targets=[TARGET])])


def status(*, stale: bool) -> pb.PlatformStatus:
    served = pb.VersionStatus(model="m", version=1, state=pb.VERSION_STATE_SERVING, aliases=["production"])
    view = View(
        replicas={name: {"a:1": ReplicaCheck(serving=True)} for name in ("inference", "preprocess", "registry")},
        deployments={"m": DEPLOYMENT},
        serving=(pb.ServingState(replica="a:1", versions=[served], triton_ready=True),),
        probes={"m": pb.ProbeResult(succeeded=True, model_version=1)},
    )
    assessed = assess(view)
    if stale:
        mark_stale(assessed, 1)
    return assessed


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """As much of a registry as deploying needs."""

    async def Deploy(self, request: Any, context: Any) -> registry_pb2.Deployment:  # noqa: N802
        return DEPLOYMENT


class Health(health_pb2_grpc.HealthServiceServicer):
    """Tells one status to those who watch."""

    def __init__(self, told: pb.PlatformStatus) -> None:
        self._told = told

    async def WatchStatus(self, request: Any, context: Any) -> AsyncIterator[pb.PlatformStatus]:  # noqa: N802
        yield self._told


async def deploy(told: pb.PlatformStatus) -> None:
    async with running(
        (registry_pb2_grpc.add_RegistryServiceServicer_to_server, cast(Any, Registry)(), "lepton.v1.RegistryService"),
        (health_pb2_grpc.add_HealthServiceServicer_to_server, cast(Any, Health)(told), "lepton.v1.HealthService"),
    ) as server:
        addresses = Addresses(registry=server.address, health=server.address, inference=server.address)
        async with AsyncClient(addresses) as client:
            await client.deploy("m", wait_s=2)


async def test_a_fresh_status_in_which_all_is_well_ends_the_wait() -> None:
    await deploy(status(stale=False))


async def test_a_stale_one_does_not_and_is_named_as_the_reason() -> None:
    with pytest.raises(DeadlineExceeded, match="Stale since 1970"):
        await deploy(status(stale=True))
