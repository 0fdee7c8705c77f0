"""Deployments and a real etcd: in both or in neither, and back after a loss."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from google.protobuf import json_format

from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.records import decode_deployment, deployment_key
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import manifest_digest
from lepton_ai.package.transfer import fetch_manifest
from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from services.registry.database.store import NewVersion
from services.registry.messages import file_records
from tests.integration.registry.served import TIMEOUT_S, Served, push, serving
from tests.sample_packages import onnx_package

T = TypeVar("T")
CAT = ModelRef(name="doubler")


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[LocalEtcd]:
    async with running_etcd(tmp_path / "etcd") as running:
        yield running


@pytest.fixture
async def state(etcd: LocalEtcd) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(etcd.address, request_timeout_s=0.5)
    yield store
    await store.close()


@pytest.fixture
async def served(state: EtcdStore, etcd: LocalEtcd, tmp_path: Path) -> AsyncIterator[Served]:
    settings = {"republish_interval_s": 0.1, "etcd_address": etcd.address}
    async with serving(tmp_path / "data", state, **settings) as running:
        await push(running.stub, onnx_package(tmp_path / "p"))
        yield running


async def published(state: EtcdStore) -> pb.Deployment | None:
    key = deployment_key("doubler")
    value = await state.get(key)
    return None if value is None else decode_deployment(key, value)


async def deploy(served: Served) -> pb.Deployment:
    return await served.stub.Deploy(pb.DeployRequest(model=CAT), timeout=TIMEOUT_S)


async def test_a_deployment_is_in_etcd_when_the_call_returns(served: Served, state: EtcdStore) -> None:
    deployment = await deploy(served)
    assert await published(state) == deployment
    await served.stub.Undeploy(pb.UndeployRequest(model="doubler"), timeout=TIMEOUT_S)
    assert await published(state) is None


async def test_without_etcd_changes_are_refused_quickly_and_change_nothing(
    served: Served, state: EtcdStore, etcd: LocalEtcd
) -> None:
    before = await deploy(served)
    await etcd.kill()
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.Undeploy(pb.UndeployRequest(model="doubler"), timeout=TIMEOUT_S)
    assert time.monotonic() - began < 2.0
    error = from_rpc_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "ETCD_UNAVAILABLE")
    assert etcd.address in error.message
    assert error.fix
    listed = await served.stub.ListDeployments(pb.ListDeploymentsRequest(), timeout=TIMEOUT_S)
    assert list(listed.deployments) == [before]
    await etcd.start()

    async def undeployed() -> bool:
        await served.stub.Undeploy(pb.UndeployRequest(model="doubler"), timeout=TIMEOUT_S)
        return await published(state) is None

    await eventually(undeployed, timeout_s=10, description="undeployed once etcd is back")


async def test_pushing_and_reading_go_on_without_etcd(served: Served, etcd: LocalEtcd, tmp_path: Path) -> None:
    await etcd.kill()
    assert (await push(served.stub, onnx_package(tmp_path / "other", max_batch_size=2))).version.version == 2


async def test_a_wiped_etcd_is_filled_again(served: Served, state: EtcdStore, etcd: LocalEtcd) -> None:
    before = await deploy(served)
    await etcd.kill()
    etcd.wipe()
    await etcd.start()

    async def is_back() -> bool:
        return await published(state) == before

    await eventually(is_back, timeout_s=15, description="the deployment is in etcd again")


async def test_what_others_write_there_is_put_right(served: Served, state: EtcdStore) -> None:
    deployment = await deploy(served)
    await state.put(DEPLOYMENTS + "doubler", b"nonsense")
    await state.put(DEPLOYMENTS + "stranger", json_format.MessageToJson(deployment).encode())

    async def is_right() -> bool:
        return await published(state) == deployment and list(await state.list(DEPLOYMENTS)) == [DEPLOYMENTS + "doubler"]

    await eventually(is_right, description="etcd holds what the registry wants")


class OneRegistry:
    """A replica's way to the only registry."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float, idempotent: bool = True
    ) -> T:
        return await invoke(self._channel, timeout_s)


async def test_the_list_of_twenty_thousand_files_comes_from_the_registry_as_etcd_has_no_room_for_it(
    state: EtcdStore, etcd: LocalEtcd, tmp_path: Path
) -> None:
    files = [pb.PackageFile(path=f"weights/{n:06d}.bin", size_bytes=1, sha256=f"{n:064x}") for n in range(20_000)]
    manifest = pb.Manifest(model="doubler", files=files)
    new = NewVersion("doubler", manifest_digest(manifest), "", file_records(manifest))
    async with serving(tmp_path / "data", state, etcd_address=etcd.address) as served:
        async with served.registry._store.writing() as writing:
            await writing.add_version(new)
        await deploy(served)
        (version,) = (await published(state) or pb.Deployment()).versions
        assert (version.digest, len(version.manifest.files)) == (new.digest, 0)
        fetched = await fetch_manifest(OneRegistry(served.channel), version, timeout_s=TIMEOUT_S)
        assert len(fetched.files) == 20_000
