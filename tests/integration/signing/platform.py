"""A registry over gRPC and a replica that loads from it, on one state and a fake Triton."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.records import decode_deployment, deployment_key, encode_deployment
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import Package
from lepton_ai.signing import bundles
from lepton_ai.signing.keys import SigningKey, TrustedKeys
from lepton_ai.signing.policy import Policy, SignatureCheck
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.testing.fake_triton import FakeTriton
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.served import TIMEOUT_S, Served, push
from tests.replica import ADDRESS, Replica, make_replica

T = TypeVar("T")


@dataclass
class Pool:
    """The registry as a replica calls it. `up` is its switch."""

    channel: grpc.aio.Channel
    up: bool = True

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float, idempotent: bool = True
    ) -> T:
        if not self.up:
            raise Unavailable("No registry answers.")
        try:
            return await invoke(self.channel, timeout_s)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


@dataclass
class Platform:
    """What a test does: push, sign, deploy, and forge."""

    directory: Path
    state: MemoryStore
    served: Served
    pool: Pool
    key: SigningKey
    trusted: TrustedKeys
    triton: FakeTriton

    async def push(self, package: Package, *, signed: bool = True) -> pb.ModelVersion:
        version = (await push(self.served.stub, package)).version
        if signed:
            await self.sign(version)
        return version

    async def sign(self, version: pb.ModelVersion, key: SigningKey | None = None) -> pb.Signature:
        bundle = bundles.sign(version.manifest, version.version, key or self.key)
        return await self.hand_in(version, bundle)

    async def hand_in(self, version: pb.ModelVersion, bundle: bytes) -> pb.Signature:
        request = pb.SignVersionRequest(model=version.model, version=version.version, bundle=bundle)
        return await self.pool.call(
            lambda _, left_s: self.served.stub.SignVersion(request, timeout=left_s), timeout_s=TIMEOUT_S
        )

    async def deploy(self, version: pb.ModelVersion) -> pb.Deployment:
        request = pb.DeployRequest(model=ModelRef(name=version.model, version=version.version))
        return await self.pool.call(
            lambda _, left_s: self.served.stub.Deploy(request, timeout=left_s), timeout_s=TIMEOUT_S
        )

    async def forge(self, model: str, change: Callable[[pb.Deployment], None]) -> None:
        """Write another deployment into etcd."""
        key = deployment_key(model)
        value = await self.state.get(key)
        deployment = pb.Deployment(model=model) if value is None else decode_deployment(key, value)
        change(deployment)
        await self.state.put(key, encode_deployment(deployment))

    @asynccontextmanager
    async def replica(self, policy: Policy = "require") -> AsyncIterator[Replica]:
        options: dict[str, Any] = {"probe_interval_s": 0.1, "triton_poll_s": 0.02}
        replica = make_replica(
            self.directory / "replica",
            self.state.twin(),
            self.triton,
            registry=cast(Any, self.pool),
            signatures=SignatureCheck(policy, self.trusted),
            **options,
        )
        await replica.reconciler.start(ADDRESS)
        try:
            yield replica
        finally:
            await replica.reconciler.close()


async def refused(replica: Replica, version: int, model: str = "doubler") -> str:
    """Why a replica does not load a version."""
    await eventually(lambda: replica.state_of(version, model) == "FAILED", description=f"{model}@{version} is refused")
    assert replica.version(model) != version
    return replica.status(version, model).message


async def served_by(replica: Replica, version: int) -> None:
    await eventually(lambda: replica.version() == version, description=f"version {version} is served", timeout_s=20)
