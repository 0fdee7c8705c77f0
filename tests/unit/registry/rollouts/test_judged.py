"""Rollouts that are judged: harm takes them back, doubt holds them, and a restart changes nothing of that."""

from __future__ import annotations

from collections import Counter

import pytest

from lepton_ai.counts import ArmCounts, Sketch
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import health_pb2
from services.registry.rollouts.judging.watch import Arms
from services.registry.rollouts.progress import Action
from services.registry.rollouts.record import State
from services.registry.sql_store import SqlStore
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


async def look(bench: Bench, seconds: float, arms: Arms) -> State:
    status = health_pb2.VersionStatus(model="cat", version=2, state=health_pb2.VERSION_STATE_SERVING)
    replicas = [health_pb2.ServingState(replica=REPLICA, versions=[status])]
    await bench.rollouts.watch(await bench.now(), seconds, replicas, arms)
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


async def test_what_the_judge_knows_is_in_the_database(bench: Bench) -> None:
    for _ in range(30):
        await look(bench, 1.0, interval())
    record = await bench.now()
    assert record.judge is not None
    assert record.judge["step"]["candidate"]["answers"] == 30 * 200
