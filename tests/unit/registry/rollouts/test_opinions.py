"""What users say counts for the arm that answered: a version with all its variants, or one form of a version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import feedback_pb2 as pb
from services.registry.rollouts.opinions import Opinions
from services.registry.rollouts.record import Plan, RolloutRecord, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = RolloutRecord(1, "cat", 2, 1, Plan((500,), 60.0, 0.0), State.RUNNING, 0, 0.0, True, "", "", NOW, NOW)
FORMS = replace(VERSIONS, id=2, version=2, old_version=2, variant="int8", old_variant="")


class Health:
    """Tells what it was given, in place of the health service."""

    def __init__(self) -> None:
        self.tallies: list[pb.FeedbackTally] = []

    async def call(self, invoke: Any, *, timeout_s: float) -> pb.CountFeedbackResponse:
        return pb.CountFeedbackResponse(versions=self.tallies)


@pytest.mark.parametrize(("rollout", "candidate", "old"), [(VERSIONS, (7, 3), (10, 0)), (FORMS, (2, 3), (5, 0))])
async def test_each_arm_has_its_own(rollout: RolloutRecord, candidate: tuple[int, int], old: tuple[int, int]) -> None:
    health = Health()
    opinions = Opinions(cast(ServicePool, health))
    health.tallies = [
        pb.FeedbackTally(version=1, good=10),
        pb.FeedbackTally(version=2, good=5),
        pb.FeedbackTally(version=2, variant="int8", good=2, bad=3),
    ]
    arms = await opinions.look(rollout, is_first=True)
    assert (arms.candidate.good, arms.candidate.bad) == candidate
    assert (arms.baseline.good, arms.baseline.bad) == (arms.others.good, arms.others.bad) == old
    again = await opinions.look(rollout, is_first=False)
    assert (again.candidate.good, again.candidate.bad, again.others.good) == (0, 0, 0)
