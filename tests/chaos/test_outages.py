"""etcd or the registry is away: predictions go on, changes are refused at once with what to do, and all comes back."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import pytest

from lepton_ai import AsyncClient
from lepton_ai.credentials import token_metadata
from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc
from tests.chaos.calls import ROWS, KnownPhoto, photo_calls
from tests.chaos.faults import RECOVERY_S, hanging, keys, kill, seconds_until, stopped, until_healthy, until_ready
from tests.chaos.load import Load, load
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform

ALERTS = "/lepton/health/"
LEASE_TTL_S = 5.0
REGISTERED_AGAIN_S = LEASE_TTL_S + 2.0
_REFUSED_S = 5.0

Change = Callable[[Platform, AsyncClient], Awaitable[object]]
Outage = Callable[[Platform], AbstractAsyncContextManager[None]]


async def deploy(_platform: Platform, client: AsyncClient) -> None:
    await client.deploy(f"{ROWS}@1", wait_s=0)


async def undeploy(_platform: Platform, client: AsyncClient) -> None:
    await client.undeploy(ROWS)


async def set_alias(platform: Platform, client: AsyncClient) -> None:
    request = registry_pb2.SetAliasRequest(model=ROWS, alias="stable", version=1)
    async with grpc.aio.insecure_channel(platform.state.addresses["registry"]) as channel:
        try:
            stub, proof = registry_pb2_grpc.RegistryServiceStub(channel), token_metadata(client.addresses.token)
            await stub.SetAlias(request, timeout=_REFUSED_S, metadata=proof)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


async def are_refused(platform: Platform, client: AsyncClient, *changes: Change) -> None:
    """Each change is refused in time, as Unavailable, with what to do."""
    for change in changes:
        began_s = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await change(platform, client)
        assert caught.value.fix
        assert time.monotonic() - began_s < _REFUSED_S


def etcd_stopped(platform: Platform) -> AbstractAsyncContextManager[None]:
    return stopped(platform, "etcd")


@asynccontextmanager
async def etcd_hangs(platform: Platform) -> AsyncIterator[None]:
    with hanging(platform.process("etcd")):
        yield


def registry_stopped(platform: Platform) -> AbstractAsyncContextManager[None]:
    return stopped(platform, "registry")


@asynccontextmanager
async def etcd_and_registry_stopped(platform: Platform) -> AsyncIterator[None]:
    async with stopped(platform, "registry"), stopped(platform, "etcd"):
        yield


async def outlast(running: Load, seconds: float) -> None:
    """Go on asking for so long."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        await running.more(10)


async def _answers(platform: Platform) -> bool:
    await keys(platform)
    return True


def _named(outage: Outage) -> str:
    return outage.__name__.replace("_", " ")


def meaning(entries: Mapping[str, bytes]) -> dict[str, object]:
    """What is registered, without what differs from one publication of the same to the next. Of the outage itself the
    alerts tell, which health's processes share."""
    documents = {key: json.loads(value) for key, value in entries.items() if not key.startswith(ALERTS)}
    for key in documents:
        if key.startswith(DEPLOYMENTS):
            documents[key].pop("generation", None)
    return documents


async def seconds_until_registered(platform: Platform, before: Mapping[str, bytes]) -> float:
    async def same() -> bool:
        now = meaning(await keys(platform))
        assert now == meaning(before)
        return True

    return await seconds_until(same, description="etcd holds what it held before")


@pytest.mark.parametrize("outage", [etcd_stopped, etcd_hangs])
async def test_without_etcd_predictions_go_on_and_changes_are_refused(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries, outage: Outage
) -> None:
    before = await keys(platform)
    async with platform.client() as client, load(photo_calls(client, known_photos)) as running:
        async with outage(platform):
            await outlast(running, LEASE_TTL_S + 1.0)
            await are_refused(platform, client, deploy, undeploy, set_alias)
        seconds = await seconds_until_registered(platform, before)
        await outlast(running, REGISTERED_AGAIN_S)
        assert meaning(await keys(platform)) == meaning(before), "what is registered lives, and outlives its old lease"
    recoveries.record(
        _named(outage), "all is registered", seconds, failed=len(running.failures), answered=running.answers
    )
    assert not running.failures
    assert seconds <= REGISTERED_AGAIN_S


async def test_an_etcd_that_lost_its_data_is_filled_again(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries
) -> None:
    before = await keys(platform)
    assert any(key.startswith(DEPLOYMENTS) for key in before)
    async with platform.client() as client, load(photo_calls(client, known_photos)) as running:
        async with stopped(platform, "etcd"):
            await asyncio.to_thread(shutil.rmtree, platform.home / "data" / "etcd")
        await eventually(lambda: _answers(platform), timeout_s=10, description="etcd answers")
        seconds = await seconds_until_registered(platform, before)
        await running.more(50)
    recoveries.record(
        "etcd wiped", "all is registered", seconds, failed=len(running.failures), answered=running.answers
    )
    assert not running.failures
    assert seconds <= REGISTERED_AGAIN_S


async def test_without_the_registry_predictions_go_on_and_changes_are_refused(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries
) -> None:
    async with platform.client() as client, load(photo_calls(client, known_photos)) as running:
        async with stopped(platform, "registry"):
            await are_refused(platform, client, deploy, undeploy, set_alias, lambda _, client: client.models())
            await running.more(50)
        seconds = await until_ready(platform)
        await eventually(client.models, timeout_s=3, description="models can be listed over the old connection")
        await running.more(50)
    recoveries.record(
        "registry stopped", "the process is ready", seconds, failed=len(running.failures), answered=running.answers
    )
    assert not running.failures


async def test_a_hanging_registry_disturbs_no_prediction(
    platform: Platform, known_photos: tuple[KnownPhoto, ...]
) -> None:
    async with platform.client() as client, load(photo_calls(client, known_photos)) as running:
        with hanging(platform.process("registry")):
            await running.more(100)
    assert not running.failures


@pytest.mark.parametrize("outage", [registry_stopped, etcd_stopped, etcd_and_registry_stopped])
async def test_a_killed_inference_service_comes_back_without_those_who_tell_it_what_to_serve(
    platform: Platform, known_photos: tuple[KnownPhoto, ...], recoveries: Recoveries, outage: Outage
) -> None:
    async with platform.client(timeout_s=5.0) as client:
        ask = photo_calls(client, known_photos, timeout_s=1.0)
        async with outage(platform), load(photo_calls(client, known_photos)) as running:
            await kill(platform.process("inference"))
            seconds = await seconds_until(ask, description="a prediction succeeds")
            await running.more(30)
            fault = f"kill -9: inference, {_named(outage)}"
            failed, answered = len(running.failures), running.answers
            recoveries.record(fault, "predictions", seconds, failed=failed, answered=answered)
        await until_healthy(platform)
        await ask()
    assert seconds <= RECOVERY_S
