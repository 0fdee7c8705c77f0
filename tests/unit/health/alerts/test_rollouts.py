"""Rollouts that wait for somebody are tickets: which, with what cause, after how long, and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import InternalError, LeptonError, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import registry_pb2 as pb
from services.health.alerts.judges.rollouts import RolloutJudge, find_waiting

AT_S = 1_700_000_000
HELD, RUNNING, BACK = pb.ROLLOUT_STATE_HELD, pb.ROLLOUT_STATE_RUNNING, pb.ROLLOUT_STATE_ROLLED_BACK


def rollout(
    state: pb.RolloutState.ValueType, *, model: str = "churn", version: int = 5, reason: str = "why"
) -> pb.Rollout:
    made = pb.Rollout(model=model, version=version, old_version=4, share=2500, state=state, reason=reason)
    made.changed_at.FromSeconds(AT_S)
    return made


class Registry(ServicePool):
    """Lists these rollouts, or is out of order."""

    def __init__(self, *rollouts: pb.Rollout) -> None:
        self.rollouts: Sequence[pb.Rollout] = rollouts
        self.error: LeptonError | None = None
        self.asked = 0

    async def call(self, invoke: Callable[..., Any], **_: Any) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return pb.ListRolloutsResponse(rollouts=self.rollouts)


def test_one_that_is_held_is_a_ticket_that_says_why_once_it_has_lasted() -> None:
    (firing,) = find_waiting([rollout(HELD, reason="errors: 12 answers are too few")], AT_S)
    assert dict(firing.labels) == {
        "alertname": "RolloutHeld", "severity": "ticket", "model": "churn", "version": "5",
    }  # fmt: skip
    assert firing.annotations["summary"] == "The rollout of churn to version 5 is held at 25 % of the calls."
    assert firing.annotations["cause"] == "errors: 12 answers are too few"
    assert firing.pending_s == 300


def test_one_that_was_taken_back_is_told_at_once_and_for_an_hour() -> None:
    (firing,) = find_waiting([rollout(BACK)], AT_S + 3599)
    assert firing.labels["alertname"] == "RolloutRolledBack"
    assert firing.annotations["summary"].endswith("was rolled back: version 4 has the calls again.")
    assert firing.pending_s == 0
    assert find_waiting([rollout(BACK)], AT_S + 3600) == []


def test_what_a_person_took_back_is_no_alert() -> None:
    taken_back = rollout(BACK)
    taken_back.ended_by = "Anna"
    assert find_waiting([taken_back], AT_S) == []


def test_a_variant_is_named() -> None:
    held, back = rollout(HELD), rollout(BACK, model="resnet")
    held.variant = back.old_variant = "int8"
    said = [firing.annotations["summary"] for firing in find_waiting([held, back], AT_S)]
    assert said[0].startswith("The rollout of churn to version 5+int8 is held")
    assert said[1].endswith("version 4+int8 has the calls again.")


def test_only_the_newest_of_a_model_counts() -> None:
    rollouts = [
        rollout(RUNNING, version=6), rollout(BACK), rollout(HELD, model="resnet"), rollout(BACK, model="resnet"),
    ]  # fmt: skip
    assert [(each.labels["model"], each.labels["alertname"]) for each in find_waiting(rollouts, AT_S)] == [
        ("resnet", "RolloutHeld")
    ]


@pytest.mark.parametrize("name", ["rolloutheld", "rolloutrolledback"])
def test_both_have_their_runbooks(name: str) -> None:
    fired = [find_waiting([rollout(state)], AT_S)[0].annotations["runbook"] for state in (HELD, BACK)]
    assert f"docs/runbooks.md#{name}" in fired
    text = (Path(__file__).parents[4] / "docs" / "runbooks.md").read_text(encoding="utf-8")
    assert f"## {name}\n" in text.lower()


async def test_the_registry_is_asked_now_and_then_and_what_was_known_stays_while_it_is_away() -> None:
    registry = Registry(rollout(HELD))
    judge = RolloutJudge(registry)
    for second in range(10):
        assert len(await judge.judge(AT_S + second)) == 1
    assert registry.asked == 1
    registry.error = Unavailable("The registry is away.")
    assert len(await judge.judge(AT_S + 10)) == 1
    registry.error, registry.rollouts = None, ()
    assert await judge.judge(AT_S + 20) == []
    assert registry.asked == 3


async def test_while_the_registry_has_told_nothing_yet_none_is_over() -> None:
    registry = Registry(rollout(BACK))
    registry.error = Unavailable("The registry starts.")
    judge = RolloutJudge(registry)
    with pytest.raises(Unavailable):  # alerts of before stay as they were
        await judge.judge(AT_S)
    registry.error = None
    assert len(await judge.judge(AT_S + 1)) == 1


async def test_a_registry_that_cannot_tell_is_no_silence() -> None:
    registry = Registry()
    registry.error = InternalError("The registry failed.")
    with pytest.raises(InternalError):
        await RolloutJudge(registry).judge(AT_S)
