"""Rollouts on a real database: what replicas are told, what is refused, what can be taken back."""

from __future__ import annotations

import pytest
from google.protobuf import json_format
from sqlalchemy import select

from lepton_ai.errors import FailedPrecondition, NotFound, Unavailable
from lepton_ai.mesh.discovery.records import encode_serving_state, serving_key
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import health_pb2
from lepton_ai.v1.common_pb2 import ModelRef
from lepton_ai.v1.registry_pb2 import Deployment, Route
from services.registry.completion import Completion
from services.registry.database.schema import audit
from services.registry.database.sql_store import SqlStore
from services.registry.deployments.deployments import Deployments
from services.registry.deployments.settlement import Settlement
from services.registry.rollouts.driver import RolloutDriver
from services.registry.rollouts.progress import Action
from services.registry.rollouts.record import Plan, RolloutRecord, State
from services.registry.rollouts.rollouts import Rollouts
from tests.unit.registry.records import add_versions

PLAN = Plan(shares=(500, 2500), step_s=60.0, bake_s=300.0)
REPLICA = "127.0.0.1:9000"


class Bench:
    """Rollouts of a model with three versions, of which the first is served."""

    def __init__(self, store: SqlStore, state: MemoryStore) -> None:
        self.store, self.state = store, state
        settlement, completion = Settlement(state, state_address="etcd"), Completion()
        self.deployments = Deployments(store=store, settlement=settlement, completion=completion)
        self.rollouts = Rollouts(
            store=store,
            settlement=settlement,
            deployments=self.deployments,
            completion=completion,
            has_metrics=True,
        )

    async def deploy(self, version: int) -> None:
        await self.deployments.deploy(ModelRef(name="cat", version=version), actor="Anna")

    async def start(self, version: int = 2, plan: Plan = PLAN) -> RolloutRecord:
        return await self.rollouts.start(ModelRef(name="cat", version=version), plan, actor="Anna")

    async def run(self, version: int = 2, plan: Plan = PLAN) -> None:
        """A rollout that has begun."""
        await self.start(version, plan)
        await self.watch(1.0)

    async def watch(self, seconds: float, state: int = health_pb2.VERSION_STATE_SERVING) -> None:
        (newest,) = await self.rollouts.find("cat", limit=1)
        status = health_pb2.VersionStatus(model="cat", version=newest.version, state=state)  # type: ignore[arg-type]
        await self.rollouts.watch(newest, seconds, [health_pb2.ServingState(replica=REPLICA, versions=[status])])

    async def now(self) -> RolloutRecord:
        return (await self.rollouts.find("cat", limit=1))[0]

    async def published(self) -> tuple[list[int], dict[int, int]]:
        """The versions that replicas are told to serve, and the weights of the production route."""
        return (
            [each.version for each in (await self._deployment()).versions],
            {target.version: target.weight for target in (await self.production()).targets},
        )

    async def production(self) -> Route:
        """What replicas are told of the production route."""
        return next(route for route in (await self._deployment()).routes if route.alias == "production")

    async def _deployment(self) -> Deployment:
        return json_format.Parse(await self.state.get(DEPLOYMENTS + "cat") or b"", Deployment())


@pytest.fixture
async def bench(store: SqlStore) -> Bench:
    await add_versions(store, "cat", 3)
    made = Bench(store, MemoryStore())
    await made.deploy(1)
    return made


async def test_a_rollout_first_loads_the_version_beside_the_old_one(bench: Bench) -> None:
    rollout = await bench.start()
    assert (rollout.state, rollout.old_version, rollout.actor) == (State.WAITING, 1, "Anna")
    assert await bench.published() == ([1, 2], {1: 100})


async def test_then_its_share_grows_until_it_has_all_and_the_old_one_leaves(bench: Bench) -> None:
    await bench.run()
    assert await bench.published() == ([1, 2], {1: 9500, 2: 500})
    await bench.watch(60.0)
    assert await bench.published() == ([1, 2], {1: 7500, 2: 2500})
    await bench.watch(60.0)
    assert await bench.published() == ([1, 2], {2: 100})
    await bench.watch(300.0)
    assert await bench.published() == ([2], {2: 100})


async def test_at_a_step_of_all_traffic_the_new_version_has_it_and_the_old_one_stays_warm(
    bench: Bench,
) -> None:
    await bench.run(plan=Plan(shares=(10_000,), step_s=60.0, bake_s=300.0))
    assert await bench.published() == ([1, 2], {2: 10_000})
    await bench.rollouts.rollback("cat", actor="Anna")
    assert await bench.published() == ([1], {1: 100})


async def test_a_rollback_of_a_rollout_is_one_change_of_weights(bench: Bench) -> None:
    await bench.run()
    await bench.rollouts.rollback("cat", actor="Anna")
    assert await bench.published() == ([1], {1: 100})
    now = await bench.now()
    assert (now.state, now.reason, now.ended_by) == (State.ROLLED_BACK, "rolled back by Anna", "Anna")


async def test_while_the_old_version_is_warm_a_promotion_can_be_taken_back(bench: Bench) -> None:
    await bench.run()
    await bench.rollouts.control("cat", Action.PROMOTE, actor="Anna")
    assert await bench.published() == ([1, 2], {2: 100})
    await bench.rollouts.rollback("cat", actor="Anna")
    assert await bench.published() == ([1], {1: 100})


async def test_later_and_after_deployments_a_rollback_serves_the_version_before_again(bench: Bench) -> None:
    await bench.deploy(2)
    await bench.deploy(3)
    await bench.rollouts.rollback("cat", actor="Anna")
    assert await bench.published() == ([2], {2: 100})


async def test_of_the_first_version_there_is_nothing_to_go_back_to(bench: Bench) -> None:
    with pytest.raises(FailedPrecondition, match="Nothing was served"):
        await bench.rollouts.rollback("cat", actor="Anna")


async def test_two_rollouts_of_a_model_cannot_be_under_way(bench: Bench) -> None:
    await bench.start(2)
    for another in (bench.start(3), bench.deploy(3)):
        with pytest.raises(FailedPrecondition, match="under way"):
            await another


async def test_a_new_rollout_or_deployment_ends_the_bake_time_of_the_last(bench: Bench) -> None:
    await bench.run(2)
    await bench.rollouts.control("cat", Action.PROMOTE, actor="Anna")
    await bench.start(3)
    assert await bench.published() == ([2, 3], {2: 100})
    await bench.rollouts.control("cat", Action.ABORT, actor="Anna")
    await bench.deploy(3)
    assert await bench.published() == ([3], {3: 100})


async def test_what_was_counted_for_an_ended_rollout_is_not_taken_for_the_next(bench: Bench) -> None:
    await bench.run()
    first = await bench.now()
    await bench.rollouts.control("cat", Action.ABORT, actor="Anna")
    second = await bench.start()
    await bench.rollouts.watch(first, 60.0, [])
    assert await bench.now() == second


async def test_undeploying_ends_a_rollout(bench: Bench) -> None:
    await bench.run()
    await bench.deployments.undeploy("cat", actor="Anna")
    assert (await bench.now()).state is State.ABORTED
    assert await bench.state.get(DEPLOYMENTS + "cat") is None
    with pytest.raises(NotFound):
        await bench.rollouts.control("cat", Action.RESUME, actor="Anna")


async def test_undeploying_is_a_decision_too_and_the_end_of_the_bake_time_is_none(bench: Bench) -> None:
    await bench.run(plan=Plan(shares=(500,), step_s=60.0, bake_s=5.0))
    await bench.watch(60.0)
    await bench.watch(60.0)
    await bench.start(3)
    await bench.deployments.undeploy("cat", actor="Anna")
    (third, decided), (second, earlier) = await bench.rollouts.find_decided("cat", limit=2)
    assert (third.version, second.version) == (3, 2)
    assert [(each.state, each.actor) for each in decided] == [(State.ABORTED, "Anna"), (State.WAITING, "Anna")]
    assert [each.state for each in earlier] == [State.PROMOTED, State.RUNNING, State.WAITING]


async def test_what_is_served_already_or_not_at_all_is_not_rolled_out(bench: Bench) -> None:
    with pytest.raises(FailedPrecondition, match="already"):
        await bench.start(1)
    await bench.deployments.undeploy("cat", actor="Anna")
    with pytest.raises(FailedPrecondition, match="nothing to roll out beside"):
        await bench.start(2)


async def test_without_etcd_nothing_changes(bench: Bench) -> None:
    await bench.run()
    bench.state.down()
    with pytest.raises(Unavailable):
        await bench.watch(60.0)
    assert ((await bench.now()).step, (await bench.now()).passed_s) == (0, 0.0)


async def test_an_alias_set_meanwhile_does_not_change_the_shares(bench: Bench) -> None:
    await bench.run()
    await bench.deployments.set_alias("cat", "best", 2, actor="Anna")
    assert await bench.published() == ([1, 2], {1: 9500, 2: 500})


async def test_every_change_is_in_the_audit_trail(bench: Bench) -> None:
    await bench.run()
    await bench.watch(1.0)
    await bench.rollouts.control("cat", Action.ABORT, actor="Anna")
    async with bench.store.reading() as reading:
        rows = await reading._connection.execute(select(audit.c.actor, audit.c.action).order_by(audit.c.id))
        trail = [(row.actor, row.action) for row in rows]
    assert trail == [
        ("Anna", "deploy"),
        ("Anna", "rollout_start"),
        ("registry", "rollout_running"),
        ("Anna", "rollout_abort"),
    ]


async def test_the_driver_counts_only_time_in_which_it_watched(bench: Bench) -> None:
    serving = health_pb2.VersionStatus(model="cat", version=2, state=health_pb2.VERSION_STATE_SERVING)
    state = health_pb2.ServingState(replica=REPLICA, versions=[serving])
    await bench.state.put(serving_key(REPLICA), encode_serving_state(state))
    await bench.start(plan=Plan((500,), step_s=3600.0, bake_s=0.0, is_judged=False))
    driver = RolloutDriver(bench.rollouts, bench.state, interval_s=0.01, judge_interval_s=0.01)
    await driver.look()
    driver._watched_at = dict.fromkeys(driver._watched_at, -1e9)  # as after a long sleep of the machine
    await driver.look()
    assert (await bench.now()).state is State.RUNNING
    assert (await bench.now()).passed_s <= 0.02
