"""Rollouts that are judged: harm takes them back, doubt holds them, and a restart changes nothing of that."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lepton_ai.counts import ArmCounts, Sketch
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import health_pb2
from services.registry.database.sql_store import SqlStore
from services.registry.rollouts.conditions import MetricValue
from services.registry.rollouts.judging.watch import Arms
from services.registry.rollouts.progress import Action
from services.registry.rollouts.record import MetricGate, Plan, State
from services.registry.rollouts.rollouts import Seen
from tests.unit.registry.records import add_versions
from tests.unit.registry.rollouts.test_rollouts import REPLICA, Bench


@pytest.fixture
async def bench(store: SqlStore) -> Bench:
    """A rollout whose new version has 5 % of the traffic."""
    await add_versions(store, "cat", 3)
    made = Bench(store, MemoryStore())
    await made.deploy(1)
    await made.run()
    return made


def arm(answers: int, *, errors: int = 0) -> ArmCounts:
    latency_s = Sketch()
    latency_s.extend([0.010 + 0.0001 * (number % 20) for number in range(answers - errors)])
    return ArmCounts(answers, Counter({"INTERNAL": errors} if errors else {}), latency_s)


async def look(bench: Bench, seconds: float, arms: Arms, **metrics: MetricValue) -> State:
    status = health_pb2.VersionStatus(model="cat", version=2, state=health_pb2.VERSION_STATE_SERVING)
    replicas = [health_pb2.ServingState(replica=REPLICA, versions=[status])]
    await bench.rollouts.watch(await bench.now(), seconds, replicas, Seen(arms, metrics))
    return (await bench.now()).state


def interval(*, errors: int = 0) -> Arms:
    return Arms(arm(200, errors=errors), arm(200), arm(4000))


async def test_harm_takes_it_back_in_the_middle_of_a_step(bench: Bench) -> None:
    assert await look(bench, 1.0, interval()) is State.RUNNING
    assert await look(bench, 1.0, interval(errors=20)) is State.ROLLED_BACK
    assert await bench.published() == ([1], {1: 100})
    ended = await bench.now()
    assert "failed" in ended.reason
    assert ended.verdict is not None
    assert ended.verdict["outcome"] == "harm"
    assert not ended.ended_by
    assert ended.judge is None, "it is not needed any more, and large"


async def test_a_paused_rollout_is_still_watched_for_harm(bench: Bench) -> None:
    await bench.rollouts.control("cat", Action.PAUSE, actor="Anna")
    assert await look(bench, 1.0, interval(errors=20)) is State.ROLLED_BACK


async def test_a_step_that_is_not_settled_is_held_and_goes_on_when_it_is(bench: Bench) -> None:
    nothing = Arms(arm(1), arm(1), arm(20))
    assert await look(bench, 60.0, nothing) is State.HELD
    held = await bench.now()
    assert (held.share, held.step) == (500, 0)
    assert "more answers" in held.reason
    for _ in range(59):
        assert await look(bench, 1.0, interval()) is State.HELD
    assert await look(bench, 1.0, interval()) is State.RUNNING
    assert ((await bench.now()).share, (await bench.now()).step) == (2500, 1)


async def test_good_steps_lead_to_all_traffic(bench: Bench) -> None:
    states = [await look(bench, 1.0, interval()) for _ in range(120)]
    assert states[-1] is State.PROMOTED
    assert await bench.published() == ([1, 2], {2: 100})


async def test_every_decision_is_kept_with_the_numbers_it_was_made_by(bench: Bench) -> None:
    for _ in range(120):
        await look(bench, 1.0, interval())
    await bench.rollouts.rollback("cat", actor="Anna")
    ((_, decisions),) = await bench.rollouts.find_decided("cat", limit=1)
    back, promoted, second, first, waiting = decisions
    assert [each.state for each in (waiting, first, second)] == [State.WAITING, State.RUNNING, State.RUNNING]
    assert [each.share for each in reversed(decisions)] == [0, 500, 2500, 10_000, 0]
    assert (promoted.state, promoted.actor) == (State.PROMOTED, "registry")
    assert (back.state, back.actor, back.reason) == (State.ROLLED_BACK, "Anna", "rolled back by Anna")
    assert (waiting.verdict, first.verdict) == (None, None)
    samples = [each.verdict["gates"][0]["numbers"]["samples"] for each in (second, promoted) if each.verdict]
    assert samples == [60 * 200, 60 * 200], "each step was judged by its own answers"


async def test_what_the_judge_knows_is_in_the_database(bench: Bench) -> None:
    for _ in range(30):
        await look(bench, 1.0, interval())
    record = await bench.now()
    assert record.judge is not None
    assert record.judge["step"]["candidate"]["answers"] == 30 * 200


SHADOWED = Plan(shares=(500,), step_s=60.0, bake_s=300.0, shadow=10_000)


def compared(answers: int, *, differing: int = 0, errors: int = 0) -> Arms:
    shadow, returned = arm(answers, errors=errors), arm(answers)
    shadow.distances.extend([1.0] * differing + [0.0] * (answers - differing))
    shadow.compared, shadow.disagreeing = answers, differing
    return Arms(shadow, returned, returned)


@pytest.fixture
async def shadowed(store: SqlStore) -> Bench:
    """A rollout whose new version gets copies of all calls, and later 5 %."""
    await add_versions(store, "cat", 3)
    made = Bench(store, MemoryStore())
    await made.deploy(1)
    await made.run(plan=SHADOWED)
    return made


async def test_a_shadow_is_told_to_replicas_and_gets_no_calls(shadowed: Bench) -> None:
    assert await shadowed.published() == ([1, 2], {1: 10_000, 2: 0})
    route = await shadowed.production()
    assert (route.candidate, route.shadow) == (2, 10_000)


async def test_a_shadow_that_answers_the_same_becomes_a_canary_that_is_judged_anew(shadowed: Bench) -> None:
    assert await look(shadowed, 60.0, compared(1000)) is State.RUNNING
    assert await shadowed.published() == ([1, 2], {1: 9500, 2: 500})
    assert (await shadowed.production()).shadow == 0
    assert (await shadowed.now()).judge is None, "what was counted of copies tells nothing of calls"
    assert await look(shadowed, 60.0, interval()) is State.HELD, "200 answers are too few"


async def test_a_shadow_that_answers_something_else_is_held_for_people_to_look_at(shadowed: Bench) -> None:
    for _ in range(5):
        state = await look(shadowed, 20.0, compared(1000, differing=300))
    assert state is State.HELD
    assert "are too far from those returned" in (await shadowed.now()).reason
    await shadowed.rollouts.control("cat", Action.PROMOTE, actor="Anna")
    assert await shadowed.published() == ([1, 2], {2: 100})


async def test_a_shadow_that_fails_is_taken_back(shadowed: Bench) -> None:
    assert await look(shadowed, 1.0, compared(200, errors=20)) is State.ROLLED_BACK
    assert await shadowed.published() == ([1], {1: 100})


async def test_after_a_shadow_alone_people_decide(bench: Bench) -> None:
    await bench.rollouts.rollback("cat", actor="Anna")
    await bench.run(3, replace(SHADOWED, shares=()))
    assert await look(bench, 60.0, compared(1000)) is State.HELD
    assert (await bench.now()).reason.startswith("The shadow step is over, promote or abort. Good enough")
    assert await look(bench, 60.0, compared(1000)) is State.HELD


async def test_an_ab_test_keeps_its_share_until_people_decide(bench: Bench) -> None:
    await bench.rollouts.rollback("cat", actor="Anna")
    await bench.run(3, Plan(shares=(5000,), step_s=10.0, bake_s=0.0, sticky_by="user-id"))
    assert (await bench.production()).sticky_by == "user-id"
    for _ in range(3):
        state = await look(bench, 10.0, Arms(arm(2000), arm(2000), arm(2000)))
    assert state is State.HELD
    assert await bench.published() == ([1, 3], {1: 5000, 3: 5000})


METRIC = MetricGate("orders", 'sum(rate(orders{version="$version"}[1m]))', ">=", 2.0)


@pytest.fixture
async def metered(store: SqlStore) -> Bench:
    await add_versions(store, "cat", 3)
    made = Bench(store, MemoryStore())
    await made.deploy(1)
    await made.run(plan=replace(SHADOWED, shadow=0, metrics=(METRIC,)))
    return made


async def test_a_metric_that_stays_out_of_bounds_takes_the_version_back(metered: Bench) -> None:
    for number, state in [(1.0, State.RUNNING), (3.0, State.RUNNING), (1.0, State.RUNNING), (1.0, State.RUNNING)]:
        assert await look(metered, 1.0, interval(), orders=MetricValue(number)) is state
    assert await look(metered, 1.0, interval(), orders=MetricValue(1.0)) is State.ROLLED_BACK
    assert (await metered.now()).reason == "orders is 1, not >= 2, at 3 looks in a row."


async def test_a_metric_without_a_number_holds_a_step(metered: Bench) -> None:
    fine = Arms(arm(4000), arm(4000), arm(8000))
    assert await look(metered, 60.0, fine, orders=MetricValue(None, "there is no such series yet")) is State.HELD
    assert "there is no such series yet" in (await metered.now()).reason
    assert await look(metered, 60.0, fine, orders=MetricValue(2.5)) is State.PROMOTED


async def test_a_margin_of_the_plan_is_used(bench: Bench) -> None:
    await bench.rollouts.rollback("cat", actor="Anna")
    await bench.run(3, replace(SHADOWED, shadow=0, margins={"errors": 0.5, "latency p99": 0.0}))
    bad = Arms(arm(1000, errors=300), arm(1000), arm(4000))
    assert await look(bench, 1.0, bad) is State.RUNNING
    gates = {gate["gate"] for gate in ((await bench.now()).verdict or {})["gates"]}
    assert "errors" in gates
    assert "latency p99" not in gates
