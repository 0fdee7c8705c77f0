"""How a rollout goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.v1 import health_pb2
from services.registry.rollouts.progress import Action, Readiness, act, advance, check_plan, readiness, weights
from services.registry.rollouts.record import WHOLE, Plan, RolloutRecord, State

PLAN = Plan(shares=(500, 2500), step_s=60.0, bake_s=300.0)
READY, NOT_READY = Readiness(is_ready=True), Readiness(is_ready=False)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rollout(state: State = State.WAITING, plan: Plan = PLAN) -> RolloutRecord:
    return RolloutRecord(1, "cat", 2, 1, plan, state, 0, 0.0, state.is_under_way, "", "", NOW, NOW)


def replica(*states: tuple[int, Any], message: str = "") -> health_pb2.ServingState:
    versions = [
        health_pb2.VersionStatus(model="cat", version=version, state=state, message=message)
        for version, state in states
    ]
    return health_pb2.ServingState(versions=versions)


def test_the_new_version_gets_nothing_before_it_serves_everywhere() -> None:
    serving, loading = health_pb2.VERSION_STATE_SERVING, health_pb2.VERSION_STATE_LOADING
    half = readiness(rollout(), [replica((2, serving)), replica((2, loading))])
    waiting = advance(rollout(), 1.0, half)
    assert (waiting.state, weights(waiting)) == (State.WAITING, {1: WHOLE})
    assert not readiness(rollout(), []).is_ready, "without replicas nothing is known"
    running = advance(waiting, 1.0, readiness(rollout(), [replica((2, serving)), replica((2, serving))]))
    assert (running.state, weights(running)) == (State.RUNNING, {1: 9500, 2: 500})


def test_a_version_is_not_given_up_where_the_old_one_fails_as_well() -> None:
    failed = health_pb2.VERSION_STATE_FAILED
    assert readiness(rollout(), [replica((2, failed), (1, failed), message="Triton is gone")]).failure == ""
    assert readiness(rollout(), [replica((2, failed), (1, health_pb2.VERSION_STATE_SERVING))]).failure


@pytest.mark.parametrize("state", [State.WAITING, State.RUNNING, State.PAUSED, State.HELD])
def test_a_version_that_cannot_be_served_is_given_up_and_why_is_said(state: State) -> None:
    failed = readiness(rollout(), [replica((2, health_pb2.VERSION_STATE_FAILED), message="its file is damaged")])
    after = advance(rollout(state), 1.0, failed)
    assert (after.state, after.is_live, weights(after)) == (State.ROLLED_BACK, False, {1: WHOLE})
    assert "its file is damaged" in after.reason


def test_shares_grow_step_by_step_and_the_old_version_stays_warm_until_the_bake_time_ends() -> None:
    record, seen = advance(rollout(), 1.0, READY), []
    for _ in range(600):
        seen.append((record.state, record.share, record.is_live))
        record = advance(record, 1.0, READY)
    assert list(dict.fromkeys(seen)) == [
        (State.RUNNING, 500, True),
        (State.RUNNING, 2500, True),
        (State.PROMOTED, WHOLE, True),
        (State.PROMOTED, WHOLE, False),
    ]
    assert seen.count((State.RUNNING, 500, True)) == 60
    assert seen.count((State.PROMOTED, WHOLE, True)) == 300


def test_without_a_bake_time_the_old_version_leaves_at_once() -> None:
    record = advance(rollout(plan=Plan((500,), 0.0, 0.0)), 1.0, READY)
    assert advance(record, 1.0, READY).is_live is False


def test_a_pause_keeps_the_shares_and_a_resumed_step_begins_anew() -> None:
    running = replace(rollout(State.RUNNING), passed_s=59.0)
    paused = act(running, Action.PAUSE, "Anna")
    assert advance(paused, 3600.0, READY) == paused
    assert (paused.share, paused.reason) == (500, "paused by Anna")
    assert act(paused, Action.RESUME, "Anna").passed_s == 0.0


@pytest.mark.parametrize("state", [State.WAITING, State.RUNNING, State.PAUSED])
def test_an_aborted_rollout_gives_all_traffic_to_the_old_version(state: State) -> None:
    aborted = act(rollout(state), Action.ABORT, "Anna")
    assert (aborted.state, weights(aborted), aborted.is_live) == (State.ABORTED, {1: WHOLE}, False)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (State.WAITING, Action.PROMOTE),  # nothing serves that could take the traffic
        (State.WAITING, Action.PAUSE),
        (State.RUNNING, Action.RESUME),
        (State.PROMOTED, Action.ABORT),
        (State.ROLLED_BACK, Action.PROMOTE),
    ],
)
def test_what_a_state_does_not_allow_is_refused(state: State, action: Action) -> None:
    with pytest.raises(FailedPrecondition, match=state.value.replace("_", " ")):
        act(rollout(state), action, "Anna")


@pytest.mark.parametrize("shares", [(), (0,), (500, 500), (2500, 500), (10_001,), tuple(range(1, 52))])
def test_a_plan_whose_shares_do_not_grow_is_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="shares"):
        check_plan(Plan(shares, 60.0, 300.0))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_plan_with_impossible_times_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="step_s"):
        check_plan(Plan((500,), seconds, 0.0))


_WATCHED = st.tuples(st.just("watch"), st.floats(0, 100), st.sampled_from([READY, NOT_READY, Readiness(False, "no")]))
_ASKED = st.tuples(st.just("ask"), st.sampled_from(list(Action)), st.none())


@given(st.lists(st.one_of(_WATCHED, _ASKED), max_size=40))
def test_weights_always_add_up_and_never_grow_by_more_than_a_step(events: list[tuple[str, object, object]]) -> None:
    record = rollout()
    for kind, what, version in events:
        before = record
        if kind == "watch":
            assert isinstance(what, float)
            assert isinstance(version, Readiness)
            record = advance(record, what, version)
            steps = (0, *PLAN.shares, WHOLE)
            assert record.share in (before.share, 0) or steps.index(record.share) == steps.index(before.share) + 1
        else:
            assert isinstance(what, Action)
            try:
                record = act(record, what, "Anna")
            except FailedPrecondition:
                continue
        assert sum(weights(record).values()) == WHOLE
        assert record.is_live or record.share in (0, WHOLE)
