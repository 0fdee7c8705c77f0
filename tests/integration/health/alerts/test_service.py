"""Alerts of a health service: from what the observer sees to people who take care of it, over gRPC and by command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lepton_ai.addresses import Addresses
from lepton_ai.cli import main
from lepton_ai.client import AsyncClient
from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound, Unauthenticated
from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import alerts_pb2 as pb
from services.health.alerts.judges import platform
from services.health.service import build
from services.health.settings import HealthSettings
from tests.receiver import Receiver, receiving

TOKEN = "t0ken"


@dataclass
class World:
    """A health service, the state it follows, who is told, and a client that may change things."""

    state: MemoryStore
    address: str
    receiver: Receiver
    client: AsyncClient

    async def alert(self, name: str, **labels: str) -> pb.Alert:
        """The alert with this name, once it fires."""
        wanted = {"alertname": name, **labels}
        return await eventually(lambda: self._find(wanted), description=f"{name} fires")

    async def _find(self, wanted: dict[str, str]) -> pb.Alert:
        alerts = await self.client.alerts(states=["firing"])
        found = [each for each in alerts if wanted.items() <= dict(each.labels).items()]
        assert found
        return found[0]

    def titles(self) -> list[str]:
        return [each.document["title"] for each in self.receiver.received if "title" in each.document]


@asynccontextmanager
async def health(state: MemoryStore, directory: Path, url: str, **settings: Any) -> AsyncIterator[str]:
    """A health service that is quick in all things."""
    file = directory / "receivers.yaml"
    file.write_text(f"receivers:\n- {{name: ops, kind: webhook, url: '{url}', severities: [page, ticket]}}\n")
    made = HealthSettings(
        port=0, check_interval_s=0.05, check_timeout_s=0.5, probe_interval_s=0.1, probe_timeout_s=0.5, propagation_s=0,
        alert_interval_s=0.05, group_wait_page_s=0.0, group_wait_s=0.1, group_interval_s=0.2, resolved_wait_s=0.1,
        data_dir=directory / "data", receivers_file=file, token=TOKEN, watchdog_url=f"{url}&beat",
        watchdog_interval_s=1, **settings,
    )  # fmt: skip
    server = await build(made, state, Tracing.create("health", made))
    address = await server.start()
    await server.ready()
    yield address
    await server.drain()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_STARTING_S", 0.2)
    monkeypatch.setattr(platform, "_SHORT_S", 0.1)
    monkeypatch.setattr(platform, "_LONG_S", 0.2)


@asynccontextmanager
async def running_world(state: MemoryStore, directory: Path, receiver: Receiver) -> AsyncIterator[World]:
    async with (
        health(state, directory, receiver.url) as address,
        AsyncClient(Addresses(health=address, token=TOKEN)) as client,
    ):
        yield World(state, address, receiver, client)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with receiving() as receiver, running_world(MemoryStore(), tmp_path, receiver) as made:
        yield made


async def test_a_missing_service_is_a_page_that_says_for_whom_it_matters_and_what_to_do(world: World) -> None:
    alert = await world.alert("InferenceDown")
    assert alert.labels["severity"] == "page"
    assert alert.annotations["impact"] == "nobody gets predictions"
    assert "none is registered" in alert.annotations["cause"]
    assert alert.annotations["runbook"].startswith("docs/runbooks.md#")
    assert alert.receivers == ["ops"]
    await eventually(lambda: "[page] No inference service answers." in world.titles(), description="it is told")
    whole = await eventually(lambda: _with_delivery(world, alert), description="the delivery is noted")
    assert [each.what for each in whole.history][-2:] == ["firing", "pending"]
    assert whole.notifications[0].receiver == "ops"
    assert "What to do:" in whole.notifications[0].text
    assert whole.runbook.startswith("Nobody gets predictions")


async def _with_delivery(world: World, alert: pb.Alert) -> pb.GetAlertResponse:
    whole = await world.client.alert(alert.fingerprint[:8])
    assert any(each.what == "delivered" for each in whole.history)
    return whole


async def test_etcd_that_is_away_is_told_and_hides_what_follows_from_it(world: World) -> None:
    await world.alert("ServiceDown", service="registry")
    world.state.down()
    etcd = await world.alert("EtcdDown")

    async def hidden() -> bool:
        registry = await world.alert("ServiceDown", service="registry")
        return registry.inhibited_by == etcd.fingerprint

    await eventually(hidden, description="what follows from it is hidden")
    world.state.up()


async def test_a_replica_that_does_not_answer_is_told_and_that_it_is_gone_too(world: World) -> None:
    publication = await register(world.state, Endpoint("preprocess", "127.0.0.1:1"))
    await world.alert("ReplicaDown", instance="127.0.0.1:1")
    await publication.withdraw()

    async def over() -> bool:
        found = await world.client.alerts(states=["resolved"], matchers=['alertname="ReplicaDown"'])
        return [each.labels["instance"] for each in found] == ["127.0.0.1:1"]

    await eventually(over, description="it is over")


async def test_somebody_looks_after_an_alert(world: World) -> None:
    alert = await world.alert("InferenceDown")
    answer = await world.client.acknowledge_alert(alert.fingerprint[:6], "我来处理")
    assert answer.acknowledgement.comment == "我来处理"
    assert answer.acknowledgement.who  # who calls says who it is
    for nothing in ("", "no such"):
        with pytest.raises(NotFound):
            await world.client.acknowledge_alert(nothing)


async def test_what_is_over_needs_nobody(world: World) -> None:
    publication = await register(world.state, Endpoint("preprocess", "127.0.0.1:1"))
    alert = await world.alert("ReplicaDown", instance="127.0.0.1:1")
    await publication.withdraw()

    async def refused() -> bool:
        try:
            await world.client.acknowledge_alert(alert.fingerprint)
        except FailedPrecondition:
            return True
        return False

    await eventually(refused, description="it is over, and says so")


async def test_silences_are_made_listed_and_ended(world: World) -> None:
    await world.alert("InferenceDown")
    made = await world.client.create_silence(['service="inference"'], timedelta(hours=2), "known")
    assert made.alerts == 1
    assert [each.id for each in await world.client.silences()] == [made.id]
    assert (await world.alert("InferenceDown")).silenced_by == made.id
    await world.client.end_silence(made.id)
    assert await world.client.silences() == []
    with pytest.raises(NotFound):
        await world.client.end_silence(made.id)


@pytest.mark.parametrize("matchers", [[], ["nonsense"], ['a=~"["'], ['model!="x"']])
async def test_silences_that_mean_nothing_or_everything_are_refused(world: World, matchers: list[str]) -> None:
    with pytest.raises(InvalidInput):
        await world.client.create_silence(matchers, timedelta(hours=1))


async def test_who_changes_anything_shows_the_token_and_who_looks_does_not(world: World) -> None:
    async with AsyncClient(Addresses(health=world.address)) as stranger:
        assert await stranger.alerts() is not None
        assert await stranger.slos() == []
        refused: list[Callable[[], Any]] = [
            lambda: stranger.acknowledge_alert("f"),
            lambda: stranger.create_silence(['a="b"'], timedelta(hours=1)),
            lambda: stranger.set_slo("m", availability=0.9),
            lambda: stranger.test_receiver("ops"),
        ]
        for call in refused:
            with pytest.raises(Unauthenticated):
                await call()


async def test_promises_are_set_listed_and_taken_back(world: World) -> None:
    made = await world.client.set_slo("resnet", availability=0.999, latency_s=0.2, latency_share=0.99)
    assert (made.availability, made.source) == (0.999, "cli")
    (listed,) = await world.client.slos()
    assert listed.latency.ToMilliseconds() == 200
    assert listed.window.ToTimedelta() == timedelta(days=30)
    await world.client.remove_slo("resnet")
    assert await world.client.slos() == []
    with pytest.raises(NotFound):
        await world.client.remove_slo("resnet")
    with pytest.raises(InvalidInput):
        await world.client.set_slo("resnet", availability=99.9)
    with pytest.raises(InvalidInput):
        await world.client.set_slo("resnet")


async def test_a_receiver_is_tested_at_once(world: World) -> None:
    assert (await world.client.test_receiver("ops")).status == 200
    assert any("A test of this receiver" in title for title in world.titles())
    world.receiver.answers = [500]
    assert "500" in (await world.client.test_receiver("ops")).error
    with pytest.raises(NotFound, match="ops"):
        await world.client.test_receiver("nobody")


async def test_signs_of_life_arrive_while_it_judges(world: World) -> None:
    def beats() -> list[Any]:
        return [each.document for each in world.receiver.received if "beat" in each.target]

    await eventually(lambda: len(beats()) >= 2, description="two signs of life")
    assert beats()[0]["watchdog"] == "lepton"


async def test_a_restart_keeps_silences_promises_and_alerts(tmp_path: Path) -> None:
    state = MemoryStore()
    async with receiving() as receiver:
        async with running_world(state, tmp_path, receiver) as world:
            before = await world.alert("InferenceDown")
            await world.client.create_silence(['model="cats"'], timedelta(hours=2))
            await world.client.set_slo("cats", availability=0.9)
            title = "[page] No inference service answers."
            await eventually(lambda: title in world.titles(), description="it is told")
        async with running_world(state, tmp_path, receiver) as world:
            assert (await world.alert("InferenceDown")).began_at == before.began_at
            assert len(await world.client.silences()) == len(await world.client.slos()) == 1
        assert world.titles().count(title) == 1


async def lepton(world: World, *words: str, code: int = 0) -> str:
    environment = {"LEPTON_HEALTH_ADDRESS": world.address, "LEPTON_TOKEN": TOKEN, "LEPTON_ACTOR": "王小明"}
    result = await asyncio.to_thread(CliRunner(env=environment).invoke, main, words)
    assert result.exit_code == code, result.output
    return result.stdout


async def test_people_look_and_act_by_command(world: World) -> None:
    alert = await world.alert("InferenceDown")
    table = await lepton(world, "alerts")
    assert "No inference service answers." in table
    assert alert.fingerprint[:8] in table
    await lepton(world, "alerts", "--fail", code=1)
    assert "王小明 looks after it" in await lepton(world, "alerts", "ack", alert.fingerprint[:8], "--comment", "我来")
    shown = await lepton(world, "alerts", "show", alert.fingerprint[:8])
    assert "acknowledged" in shown
    assert "王小明: 我来" in shown
    made = json.loads(await lepton(world, "alerts", "silence", 'severity="page"', "--for", "2h", "--json"))
    assert made["author"] == "王小明"
    await lepton(world, "alerts", "--fail")
    assert made["id"] in await lepton(world, "alerts", "silences")
    await lepton(world, "alerts", "unsilence", made["id"])
    assert "It arrived." in await lepton(world, "alerts", "test", "ops")
    assert json.loads(await lepton(world, "alerts", "sent", "--json"))["receivers"][0]["name"] == "ops"
    await lepton(world, "slo", "set", "resnet", "--availability", "99.9", "--latency", "200ms:99", "--window", "30d")
    assert "99.9 % answered, 99 % within 200 ms over 30 d" in await lepton(world, "slo", "list")
    await lepton(world, "slo", "remove", "resnet")
    assert json.loads(await lepton(world, "slo", "list", "--json")) == []
    await lepton(world, "slo", "set", "resnet", code=2)
