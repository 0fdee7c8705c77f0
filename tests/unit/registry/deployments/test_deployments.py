"""Deploying: the database and the shared state change together or not at all."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError, NotFound, Unavailable
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1.common_pb2 import ModelRef
from lepton_ai.v1.registry_pb2 import Deployment
from services.registry.completion import Completion
from services.registry.database.sql_store import SqlStore, open_sqlite
from services.registry.deployments.deployments import Deployments
from services.registry.deployments.publisher import Publisher
from services.registry.deployments.settlement import Settlement
from tests.unit.registry.records import add_versions


class Bench:
    """Deployments on a real database and a state store that can be broken."""

    def __init__(self, store: SqlStore, state: MemoryStore) -> None:
        self.store, self.state = store, state
        self.completion = Completion()
        settlement = Settlement(state, state_address="127.0.0.1:2379")
        self.deployments = Deployments(store=store, settlement=settlement, completion=self.completion)
        self.publisher = Publisher(store=store, state=state, interval_s=60.0)

    async def deploy(self, name: str = "cat", **selector: Any) -> Deployment:
        return await self.deployments.deploy(ModelRef(name=name, **selector), actor="tester")

    async def published(self, model: str = "cat") -> Deployment | None:
        value = await self.state.get(DEPLOYMENTS + model)
        return None if value is None else json_format.Parse(value, Deployment())

    async def recorded(self) -> dict[str, Deployment]:
        return {deployment.model: deployment for deployment in await self.deployments.list()}


@pytest.fixture
async def bench(store: SqlStore) -> Bench:
    await add_versions(store, "cat", 3)
    return Bench(store, MemoryStore())


def routes(deployment: Deployment) -> dict[str, list[tuple[int, int]]]:
    return {route.alias: [(t.version, t.weight) for t in route.targets] for route in deployment.routes}


async def test_deploying_a_name_takes_the_newest_version(bench: Bench) -> None:
    deployment = await bench.deploy()
    assert [version.version for version in deployment.versions] == [3]
    assert routes(deployment) == {"production": [(3, 100)]}
    assert deployment.versions[0].manifest.files[0].path == "a.onnx"


async def test_what_is_published_is_what_was_answered(bench: Bench) -> None:
    deployment = await bench.deploy(version=2)
    assert await bench.published() == deployment
    document = json.loads(await bench.state.get(DEPLOYMENTS + "cat") or b"")
    assert document["versions"][0]["manifest"]["files"][0]["size_bytes"] == "3"


async def test_a_version_may_be_named_by_its_alias(bench: Bench) -> None:
    await bench.deployments.set_alias("cat", "best", 2, actor="tester")
    deployment = await bench.deploy(alias="best")
    assert routes(deployment) == {"best": [(2, 100)], "production": [(2, 100)]}


async def test_production_follows_deploy(bench: Bench) -> None:
    await bench.deploy(version=1)
    await bench.deploy(version=2)
    async with bench.store.reading() as reading:
        assert await reading.aliases("cat") == {"production": 2}


async def test_the_generation_grows_with_every_change_and_only_then(bench: Bench) -> None:
    generations = [(await bench.deploy(version=number)).generation for number in (1, 1, 2, 1)]
    await bench.deployments.undeploy("cat", actor="tester")
    generations.append((await bench.deploy(version=1)).generation)
    assert generations == [1, 1, 2, 3, 5]


async def test_an_alias_of_a_deployed_version_becomes_a_route(bench: Bench) -> None:
    await bench.deploy(version=1)
    await bench.deployments.set_alias("cat", "stable", 1, actor="tester")
    published = await bench.published()
    assert published is not None
    assert (routes(published)["stable"], published.generation) == ([(1, 100)], 2)
    await bench.deployments.set_alias("cat", "stable", 2, actor="tester")
    published = await bench.published()
    assert published is not None
    assert (routes(published), published.generation) == ({"production": [(1, 100)]}, 3)


async def test_an_alias_that_is_taken_away_is_no_route_any_more(bench: Bench) -> None:
    await bench.deploy(version=1)
    await bench.deployments.set_alias("cat", "stable", 1, actor="tester")
    await bench.deployments.delete_alias("cat", "stable", actor="tester")
    published = await bench.published()
    assert published is not None
    assert (routes(published), published.generation) == ({"production": [(1, 100)]}, 3)
    with pytest.raises(NotFound, match="no alias stable"):
        await bench.deployments.delete_alias("cat", "stable", actor="tester")
    with pytest.raises(FailedPrecondition, match="follows what is deployed"):
        await bench.deployments.delete_alias("cat", "production", actor="tester")


async def test_undeploying_twice_is_fine(bench: Bench) -> None:
    await bench.deploy()
    for _ in range(2):
        await bench.deployments.undeploy("cat", actor="tester")
        assert await bench.published() is None
    assert await bench.recorded() == {}


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        (ModelRef(name="dog"), NotFound),
        (ModelRef(name="cat", version=4), NotFound),
        (ModelRef(name="cat", version=2**64 - 1), NotFound),
        (ModelRef(name="cat", version=0), InvalidInput),
        (ModelRef(name="cat", alias="none"), NotFound),
        (ModelRef(name="cat", alias="../x"), InvalidInput),
        (ModelRef(name="../cat"), InvalidInput),
        (ModelRef(), InvalidInput),
    ],
)
async def test_what_does_not_exist_cannot_be_deployed(bench: Bench, ref: ModelRef, error: type[LeptonError]) -> None:
    with pytest.raises(error):
        await bench.deployments.deploy(ref, actor="tester")
    assert await bench.published() is None


@pytest.mark.parametrize(
    ("alias", "version", "error"),
    [
        ("production", 1, FailedPrecondition),
        ("12", 1, InvalidInput),
        ("a..b", 1, InvalidInput),
        ("best", 0, InvalidInput),
        ("best", 9, NotFound),
    ],
)
async def test_aliases_that_cannot_be_are_refused(
    bench: Bench, alias: str, version: int, error: type[LeptonError]
) -> None:
    with pytest.raises(error):
        await bench.deployments.set_alias("cat", alias, version, actor="tester")


async def test_nothing_changes_while_the_shared_state_is_away(bench: Bench) -> None:
    before = await bench.deploy(version=1)
    bench.state.down()
    for change in (
        bench.deploy(version=2),
        bench.deployments.undeploy("cat", actor="tester"),
        bench.deployments.set_alias("cat", "best", 1, actor="tester"),
    ):
        with pytest.raises(Unavailable) as caught:
            await change
        assert "127.0.0.1:2379" in caught.value.message
        assert "nothing was changed" in caught.value.message
        assert caught.value.fix
    bench.state.up()
    assert await bench.recorded() == {"cat": before}
    assert await bench.published() == before
    async with bench.store.reading() as reading:
        assert await reading.aliases("cat") == {"production": 1}


async def test_a_wiped_state_is_filled_again(bench: Bench) -> None:
    deployment = await bench.deploy()
    bench.state.down()
    bench.state.up(wiped=True)
    assert await bench.publisher.reconcile() == 1
    assert await bench.published() == deployment
    assert await bench.publisher.reconcile() == 0


async def test_a_crash_between_publishing_and_commit_is_healed_under_a_higher_generation(bench: Bench) -> None:
    wanted = await bench.deploy(version=1)
    ahead = Deployment.FromString(wanted.SerializeToString())
    ahead.generation, ahead.versions[0].version = wanted.generation + 1, 2
    await bench.state.put(DEPLOYMENTS + "cat", json_format.MessageToJson(ahead).encode())
    await bench.publisher.reconcile()
    healed = await bench.published()
    assert healed is not None
    assert (healed.generation, healed.versions) == (ahead.generation + 1, wanted.versions)
    assert await bench.recorded() == {"cat": healed}
    assert (await bench.deploy(version=3)).generation == healed.generation + 1


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b'{"generation": "x"}', b"{" * 10_000, b'{"model": "cat"}'])
async def test_what_cannot_be_read_is_replaced(bench: Bench, garbage: bytes) -> None:
    deployment = await bench.deploy()
    await bench.state.put(DEPLOYMENTS + "cat", garbage)
    await bench.publisher.reconcile()
    assert await bench.published() == deployment


@pytest.mark.parametrize("value", [b'{"model": "dog", "generation": "3"}', b"garbage"])
async def test_what_is_not_in_the_database_is_deleted(bench: Bench, value: bytes) -> None:
    await bench.state.put(DEPLOYMENTS + "dog", value)
    await bench.publisher.reconcile()
    assert await bench.state.get(DEPLOYMENTS + "dog") is None


async def test_an_empty_registry_deletes_nothing(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "empty.sqlite")
    bench = Bench(store, MemoryStore())
    await bench.state.put(DEPLOYMENTS + "dog", b'{"model": "dog"}')
    await bench.publisher.reconcile()
    assert await bench.state.get(DEPLOYMENTS + "dog") is not None, "a lost database must not end what is served"
    await store.close()


async def test_the_publisher_goes_on_while_the_state_is_away(bench: Bench) -> None:
    deployment = await bench.deploy()
    bench.state.down()
    with pytest.raises(Unavailable):
        await bench.publisher.reconcile()
    publisher = Publisher(store=bench.store, state=bench.state, interval_s=0.01)
    publisher.start()
    bench.state.up(wiped=True)

    async def is_published() -> bool:
        return await bench.published() == deployment

    await eventually(is_published, description="the deployment is published again")
    await publisher.close()


async def test_a_change_is_finished_though_its_caller_has_gone(bench: Bench) -> None:
    caller = asyncio.create_task(bench.deploy(version=2))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await bench.completion.close()
    recorded = await bench.recorded()
    assert recorded["cat"] == await bench.published()


async def test_concurrent_deploys_end_in_one_of_them(bench: Bench) -> None:
    await asyncio.gather(*(bench.deploy(version=1 + number % 3) for number in range(12)))
    assert await bench.recorded() == {"cat": await bench.published()}


async def test_every_change_stands_in_the_audit_trail(bench: Bench, tmp_path: Path) -> None:
    await bench.deploy(version=1)
    await bench.deploy(version=2)
    await bench.deployments.set_alias("cat", "best", 2, actor="tester")
    await bench.deployments.undeploy("cat", actor="operator")
    with sqlite3.connect(tmp_path / "registry.sqlite") as direct:
        rows = direct.execute("SELECT actor, action, before, after FROM audit ORDER BY id").fetchall()
    direct.close()
    assert [row[:2] for row in rows] == [
        ("tester", "deploy"), ("tester", "deploy"), ("tester", "set_alias"), ("operator", "undeploy"),
    ]  # fmt: skip
    before, after = json.loads(rows[1][2]), json.loads(rows[1][3])
    assert (before["versions"][0]["version"], after["versions"][0]["version"]) == ("1", "2")
    assert "manifest" not in after["versions"][0]


steps = st.lists(
    st.tuples(st.sampled_from(["deploy", "undeploy", "alias", "down", "up", "wipe", "reconcile"]), st.integers(1, 3)),
    max_size=12,
)


@settings(max_examples=15, deadline=None)
@given(steps=steps)
def test_after_any_history_state_and_database_agree_and_generations_only_grow(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_check_history(Path(directory) / "history.sqlite", steps))


async def _check_history(path: Path, steps: list[tuple[str, int]]) -> None:
    store = await open_sqlite(path)
    await add_versions(store, "cat", 3)
    bench = Bench(store, MemoryStore())
    newest = 0
    for step, version in steps:
        try:
            await _take(bench, step, version)
        except Unavailable:
            continue
        deployment = (await bench.recorded()).get("cat")
        if deployment is not None:
            assert deployment.generation >= newest
            newest = deployment.generation
    bench.state.up()
    await bench.publisher.reconcile()
    assert (await bench.recorded()).get("cat") == await bench.published()
    await store.close()


async def _take(bench: Bench, step: str, version: int) -> None:
    match step:
        case "deploy":
            await bench.deploy(version=version)
        case "undeploy":
            await bench.deployments.undeploy("cat", actor="tester")
        case "alias":
            await bench.deployments.set_alias("cat", "best", version, actor="tester")
        case "down":
            bench.state.down()
        case "up":
            bench.state.up()
        case "wipe":
            bench.state.up(wiped=True)
        case "reconcile":
            await bench.publisher.reconcile()
