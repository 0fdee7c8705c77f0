"""Two health services on a real etcd: one notifies, and when it is killed the other goes on without doubling."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.local.programs.etcd import running_etcd
from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.testing import eventually, running
from tests.receiver import Receiver, receiving
from tests.service_process import service_process

DEAD = "127.0.0.1:1"
"""Nothing answers there."""


@dataclass
class Replica:
    """A health service in a process of its own."""

    process: asyncio.subprocess.Process
    client: AsyncClient

    async def knows(self, service: str) -> str:
        """Whether it knows the alert about a service's replica, in its state: "firing", "silenced"…"""
        found = await self.client.alerts(
            states=["firing", "resolved"], matchers=['alertname="ReplicaDown"', f'service="{service}"']
        )
        return ("silenced" if found[0].silenced_by else str(found[0].state)) if found else ""

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@dataclass
class World:
    """What the two share."""

    directory: Path
    etcd: str
    receiver: Receiver
    live: str
    """An address at which something answers."""
    state: EtcdStore
    stack: AsyncExitStack

    @asynccontextmanager
    async def dead_replica(self, service: str) -> AsyncIterator[None]:
        """One of a service's two replicas does not answer."""
        publications = [await register(self.state, Endpoint(service, address)) for address in (DEAD, self.live)]
        yield
        for publication in publications:
            await publication.withdraw()

    async def start(self, name: str) -> Replica:
        """Start a replica, or start it again after a kill."""
        file = self.directory / "receivers.yaml"
        file.write_text(f"receivers:\n- {{name: ops, kind: webhook, url: '{self.receiver.url}'}}\n")
        settings = {
            "LEPTON_ETCD_ADDRESS": self.etcd,
            "LEPTON_DATA_DIR": str(self.directory / name),
            "LEPTON_RECEIVERS_FILE": str(file),
            "LEPTON_CHECK_INTERVAL_S": "0.2",
            "LEPTON_ALERT_INTERVAL_S": "0.2",
            "LEPTON_GROUP_WAIT_S": "0",
            "LEPTON_GROUP_INTERVAL_S": "0.5",
            "LEPTON_RESOLVED_WAIT_S": "0.5",
        }
        process, address = await self.stack.enter_async_context(service_process("health", **settings))
        client = await self.stack.enter_async_context(AsyncClient(Addresses(health=address), timeout_s=5.0))
        return Replica(process, client)

    def told(self) -> dict[tuple[str, str], Counter[str]]:
        """(Service, status) → how often each id arrived."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for request in self.receiver.received:
            for alert in request.document["alerts"]:
                if alert["labels"]["alertname"] == "ReplicaDown":
                    key = request.headers["idempotency-key"]
                    found[alert["labels"]["service"], alert["status"]][key] += 1
        return found

    async def until_told(self, service: str, status: str, *, timeout_s: float = 30.0) -> None:
        await eventually(
            lambda: (service, status) in self.told(), timeout_s=timeout_s, description=f"{service} {status} is told"
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        running_etcd(tmp_path / "etcd") as etcd,
        receiving() as receiver,
        running() as live,
        AsyncExitStack() as stack,
    ):
        state = EtcdStore(etcd.address)
        stack.push_async_callback(state.close)
        yield World(tmp_path, etcd.address, receiver, live.address, state, stack)


@pytest.mark.timeout(300)
async def test_the_second_goes_on_where_the_first_was_killed(world: World) -> None:
    first = await world.start("a")
    async with world.dead_replica("one"):
        await world.until_told("one", "firing")
        second = await world.start("b")
        await eventually(lambda: second.knows("one"), timeout_s=10, description="the follower knows it, too")
        # What is ordered at the follower reaches the leader.
        await second.client.create_silence(['service="quiet"'], timedelta(hours=1))
        async with world.dead_replica("quiet"), world.dead_replica("two"):
            await eventually(
                lambda: _is(first, "quiet", "silenced"), timeout_s=15, description="the leader obeys the silence"
            )
            await first.kill()
            await world.until_told("two", "firing")
            async with world.dead_replica("three"):
                await world.until_told("three", "firing")
    await world.until_told("one", "resolved")
    await world.until_told("three", "resolved")
    # The first comes back with what it knew when it was killed, and leads again.
    first = await world.start("a")
    await eventually(lambda: _is_resolved(first, "one"), timeout_s=15, description="it has heard what it has missed")
    await second.kill()
    async with world.dead_replica("four"):
        await world.until_told("four", "firing")
    await world.until_told("four", "resolved")
    told = world.told()
    assert {key: len(ids) for key, ids in told.items() if len(ids) > 1} == {}, "told for another reason once more"
    assert not {service for service, _ in told} & {"quiet"}
    assert sum(sum(ids.values()) - 1 for ids in told.values()) <= 2  # arrived just before one of the two kills


async def _is(replica: Replica, service: str, state: str) -> bool:
    return await replica.knows(service) == state


async def _is_resolved(replica: Replica, service: str) -> bool:
    found = await replica.client.alerts(states=["resolved"], matchers=[f'service="{service}"'])
    return bool(found)
