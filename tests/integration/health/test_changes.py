"""Changes in a real etcd and a real registry come on the time line of a real health service, each once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lepton_ai import Addresses, AsyncClient
from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.testing import eventually
from lepton_ai.v1 import events_pb2 as pb
from tests.sample_packages import onnx_package
from tests.service_process import service_process

TOKEN = "a token of this test"


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[LocalEtcd]:
    async with running_etcd(tmp_path / "etcd") as running:
        yield running


@pytest.fixture
def settings(etcd: LocalEtcd, tmp_path: Path) -> dict[str, str]:
    """Of all services."""
    return {"LEPTON_ETCD_ADDRESS": etcd.address, "LEPTON_TOKEN": TOKEN, "HOME": str(tmp_path)}


def client_of(*, token: str = TOKEN, **addresses: str) -> AsyncClient:
    return AsyncClient(Addresses(inference="127.0.0.1:1", **addresses, token=token))


async def until_told(client: AsyncClient, count: int, **wanted: object) -> Sequence[pb.TimelineEvent]:
    """The oldest first."""
    found: list[pb.TimelineEvent] = []

    async def told() -> bool:
        found[:] = reversed(await client.events(**wanted))  # type: ignore[arg-type]
        return len(found) >= count

    await eventually(told, timeout_s=30, description=f"{count} events {wanted}")
    return found


async def test_a_deploy_is_one_event_with_its_actor_also_when_health_is_killed_in_between(
    settings: dict[str, str], tmp_path: Path
) -> None:
    kept = settings | {"LEPTON_DATA_DIR": str(tmp_path / "health")}
    onnx_package(tmp_path / "doubler")
    async with service_process("registry", **settings, LEPTON_DATA_DIR=str(tmp_path / "registry")) as (_, registry):
        async with service_process("health", **kept) as (process, health):
            async with client_of(registry=registry, health=health) as client:
                coming = asyncio.ensure_future(anext(client.watch_events(kinds=["deploy"])))
                await client.push(tmp_path / "doubler")
                await client.deploy("doubler", wait_s=0)
                (event,) = await until_told(client, 1, kinds=["deploy"])
                assert (event.title, dict(event.labels)) == (
                    "doubler is served: version 1 is production",
                    {"model": "doubler", "version": "1"},
                )
                assert event.actor
                assert (await coming).id == event.id
            process.kill()
            await process.wait()
        async with client_of(registry=registry) as client:
            await client.set_alias("doubler", "staging", 1)
        async with service_process("health", **kept) as (_, health):
            async with client_of(registry=registry, health=health) as client:
                await client.undeploy("doubler")
                told = await until_told(client, 4, model="doubler")
            assert [event.kind for event in told] == ["push", "deploy", "alias", "undeploy"]
            assert all(event.actor for event in told)
            async with client_of(registry=registry, health=health, token="") as stranger:
                assert {event.actor for event in await stranger.events("doubler")} == {""}, "who did it needs the token"


async def test_a_restart_with_other_settings_says_what_is_different(settings: dict[str, str], tmp_path: Path) -> None:
    health_process = service_process("health", **settings, LEPTON_DATA_DIR=str(tmp_path / "health"))
    async with health_process as (_, health), client_of(health=health) as client:
        async with service_process("preprocess", **settings, LEPTON_DRAIN_S="1") as (process, address):
            (joined,) = await until_told(client, 1, labels={"service": "preprocess"})
            assert (joined.kind, joined.labels["instance"]) == ("replica_joined", address)
            process.kill()
            await process.wait()
        port = address.rpartition(":")[2]
        async with service_process("preprocess", **settings, LEPTON_DRAIN_S="2", LEPTON_PORT=port):
            (changed,) = await until_told(client, 1, kinds=["settings"])
            assert dict(changed.details) == {"drain_s": "1.0 → 2.0"}
            kinds = [event.kind for event in await client.events(labels={"instance": address})]
            assert kinds.count("restart") == 1
