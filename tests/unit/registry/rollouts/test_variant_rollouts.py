"""Rollouts of a variant beside its version: what replicas are told, what is refused, what can be taken back."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import health_pb2
from lepton_ai.v1.common_pb2 import ModelRef
from lepton_ai.v1.registry_pb2 import Deployment, Route
from services.registry.completion import Completion
from services.registry.database.sql_store import SqlStore
from services.registry.database.store import FileRecord, NewVariant
from services.registry.deployments.deployments import Deployments
from services.registry.deployments.settlement import Settlement
from services.registry.rollouts.judging.watch import Arms
from services.registry.rollouts.progress import Action
from services.registry.rollouts.record import Plan, RolloutRecord, State
from services.registry.rollouts.rollouts import Rollouts, Seen
from tests.unit.registry.records import add_versions

PLAN = Plan(shares=(500, 2500), step_s=60.0, bake_s=300.0)
OPTIMISED: dict[str, Any] = {
    **{"of": "1" * 64, "method": "int8", "cpu": "x", "flags": ["avx2"], "engine": "onnxruntime 1", "speed_up": 2.0},
    **{"speed_up_interval": [1.9, 2.1], "metric": "agreement", "loss": 0.0, "loss_interval": [0.0, 0.004]},
    **{"max_loss": 0.005, "rows": 800, "size_bytes": 10, "memory_bytes": 100},
}


class Bench:
    """Two versions, of which the first is served; each has the variants int8 and fp16."""

    def __init__(self, store: SqlStore, state: MemoryStore) -> None:
        self.state = state
        settlement, completion = Settlement(state, state_address="etcd"), Completion()
        self.deployments = Deployments(store=store, settlement=settlement, completion=completion)
        self.rollouts = Rollouts(
            store=store, settlement=settlement, deployments=self.deployments, completion=completion
        )

    async def deploy(self, version: int, **options: Any) -> None:
        await self.deployments.deploy(ModelRef(name="cat", version=version), actor="Anna", **options)

    async def start(self, variant: str = "int8", version: int = 1, plan: Plan = PLAN) -> RolloutRecord:
        return await self.rollouts.start(ModelRef(name="cat", version=version), plan, actor="Anna", variant=variant)

    async def run(self, variant: str = "int8", plan: Plan = PLAN) -> None:
        """A rollout that has begun."""
        await self.start(variant, plan=plan)
        await self.watch(1.0)

    async def watch(
        self, seconds: float, state: int = health_pb2.VERSION_STATE_SERVING, seen: Seen | None = None
    ) -> None:
        newest = await self.now()
        replica = health_pb2.ServingState(replica="127.0.0.1:9000")
        replica.versions.add(model="cat", version=1, state=health_pb2.VERSION_STATE_SERVING)
        replica.variants.add(model="cat", version=1, variant=newest.variant, state=state, message="why")
        await self.rollouts.watch(newest, seconds, [replica], seen)

    async def now(self) -> RolloutRecord:
        return (await self.rollouts.find("cat", limit=1))[0]

    async def told(self) -> Deployment:
        """What replicas are told."""
        return json_format.Parse(await self.state.get(DEPLOYMENTS + "cat") or b"", Deployment())

    async def production(self) -> Route:
        return next(route for route in (await self.told()).routes if route.alias == "production")

    async def arms(self) -> tuple[list[str], list[str], str, int]:
        """Of version 1: variants that answer in its place and that come in, and which has what share of the calls."""
        (version,) = [each for each in (await self.told()).versions if each.version == 1]
        route = await self.production()
        pinned = [each.name for each in version.variants if each.pinned]
        return pinned, [each.name for each in version.variants if each.candidate], *_arm(route)


def _arm(route: Route) -> tuple[str, int]:
    return route.candidate_variant, route.candidate_share


@pytest.fixture
async def bench(store: SqlStore) -> Bench:
    await add_versions(store, "cat", 2)
    async with store.writing() as writing:
        for version in (1, 2):
            for name in ("int8", "fp16"):
                digest = f"{name}{version}".ljust(64, "0")
                files = (FileRecord("lepton.yaml", 2, digest),)
                await writing.add_variant(NewVariant("cat", version, name, digest, files, "Anna", OPTIMISED))
    made = Bench(store, MemoryStore())
    await made.deploy(1)
    return made


async def test_a_variant_is_loaded_before_it_gets_calls(bench: Bench) -> None:
    rollout = await bench.start()
    assert (rollout.state, rollout.version, rollout.old_version, rollout.variant) == (State.WAITING, 1, 1, "int8")
    assert await bench.arms() == ([], ["int8"], "", 0)
    await bench.watch(1.0, health_pb2.VERSION_STATE_LOADING)
    assert (await bench.now()).state is State.WAITING


async def test_its_share_grows_within_the_version_until_it_answers_in_its_place(bench: Bench) -> None:
    await bench.run()
    assert await bench.arms() == ([], ["int8"], "int8", 500)
    route = await bench.production()
    assert (route.candidate, route.rollout) == (1, (await bench.now()).id)
    assert [(target.version, target.weight) for target in route.targets] == [(1, 100)]
    await bench.watch(60.0)
    assert await bench.arms() == ([], ["int8"], "int8", 2500)
    await bench.watch(60.0)
    assert await bench.arms() == (["int8"], [], "", 0)
    assert not (await bench.production()).candidate
    await bench.watch(300.0)
    assert ((await bench.now()).state, (await bench.now()).is_live) == (State.PROMOTED, False)
    assert await bench.arms() == (["int8"], [], "", 0)


async def test_each_share_is_told_as_a_new_generation(bench: Bench) -> None:
    seen = [(await bench.told()).generation]
    await bench.run()
    seen.append((await bench.told()).generation)
    await bench.watch(60.0)
    seen.append((await bench.told()).generation)
    assert seen == sorted(set(seen))


async def test_harm_leaves_the_original(bench: Bench) -> None:
    await bench.run()
    failing, fine = ArmCounts(answers=2000), ArmCounts(answers=2000)
    failing.errors["INTERNAL"] = 1000
    await bench.watch(5.0, seen=Seen(Arms(failing, fine, fine)))
    record = await bench.now()
    assert record.state is State.ROLLED_BACK
    assert "of variant int8" in record.reason
    assert await bench.arms() == ([], [], "", 0)


async def test_one_that_cannot_be_served_is_given_up_and_why_is_said(bench: Bench) -> None:
    await bench.start()
    await bench.watch(1.0, health_pb2.VERSION_STATE_FAILED)
    record = await bench.now()
    assert (record.state, record.reason) == (State.ROLLED_BACK, "variant int8 cannot be served: why")
    assert await bench.arms() == ([], [], "", 0)


@pytest.mark.parametrize("is_baking", [True, False])
async def test_a_promotion_can_be_taken_back_and_forth(bench: Bench, is_baking: bool) -> None:
    await bench.run()
    await bench.rollouts.control("cat", Action.PROMOTE, actor="Anna")
    if not is_baking:
        await bench.watch(300.0)
    await bench.rollouts.rollback("cat", actor="Anna")
    assert await bench.arms() == ([], [], "", 0)


async def test_what_is_compared_and_gone_back_to_is_the_variant_that_answers_already(bench: Bench) -> None:
    await bench.deploy(1, variant="fp16")
    await bench.run("int8")
    assert (await bench.now()).old_variant == "fp16"
    assert await bench.arms() == (["fp16"], ["int8"], "int8", 500)
    await bench.rollouts.control("cat", Action.ABORT, actor="Anna")
    assert await bench.arms() == (["fp16"], [], "", 0)


async def test_a_shadow_of_a_variant_gets_copies(bench: Bench) -> None:
    await bench.run(plan=Plan(shares=(500,), step_s=60.0, bake_s=0.0, shadow=10_000))
    assert (await bench.production()).shadow == 10_000
    assert await bench.arms() == ([], ["int8"], "int8", 0)
    await bench.watch(60.0)
    assert (await bench.production()).shadow == 0
    assert await bench.arms() == ([], ["int8"], "int8", 500)


async def test_a_variant_can_be_deployed_at_once_and_the_original_again(bench: Bench) -> None:
    await bench.deploy(1, variant="int8")
    assert await bench.arms() == (["int8"], [], "", 0)
    await bench.deploy(1)
    assert await bench.arms() == (["int8"], [], "", 0), "as it is"
    await bench.deploy(1, variants="exact")
    assert await bench.arms() == ([], [], "", 0)
    for expected in (["int8"], []):
        await bench.rollouts.rollback("cat", actor="Anna")
        assert (await bench.arms())[0] == expected


async def test_a_version_keeps_its_variant_while_another_one_is_served(bench: Bench) -> None:
    await bench.deploy(1, variant="int8")
    await bench.deploy(2)
    assert [each.version for each in (await bench.told()).versions] == [2]
    assert not (await bench.told()).versions[0].variants
    await bench.rollouts.rollback("cat", actor="Anna")
    assert await bench.arms() == (["int8"], [], "", 0)


async def test_a_variant_that_is_not_there_or_not_beside_its_version_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no variant 'int4'"):
        await bench.start("int4")
    with pytest.raises(NotFound, match="no variant 'int4'"):
        await bench.deploy(1, variant="int4")
    with pytest.raises(FailedPrecondition, match="beside its own version, and of cat version 1 is served"):
        await bench.start("int8", version=2)
    with pytest.raises(InvalidInput, match="a variant too"):
        await bench.deploy(1, variant="int8", variants="auto")
    await bench.deploy(1, variant="int8")
    with pytest.raises(FailedPrecondition, match="Variant int8 of cat@1 has the production traffic already"):
        await bench.start("int8")


async def test_meanwhile_nothing_else_may_become_of_the_model(bench: Bench) -> None:
    await bench.start()
    for another in (bench.start("fp16"), bench.start("", version=2), bench.deploy(1, variant="fp16"), bench.deploy(2)):
        with pytest.raises(FailedPrecondition, match="to variant int8 is under way"):
            await another
