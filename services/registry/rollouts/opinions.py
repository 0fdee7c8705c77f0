"""What users say of the versions of a rollout: good and bad, as the health service counts it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import LeptonError
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import feedback_pb2, feedback_pb2_grpc
from services.registry.rollouts.judging.watch import Arms
from services.registry.rollouts.record import RolloutRecord

_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)
_Tallies = Mapping[tuple[int, str], ArmCounts]
"""Version and variant → what was said."""


class Opinions:
    """Asks the health service. While it is away, nothing is added; what came meanwhile is added later."""

    def __init__(self, health: ServicePool) -> None:
        self._health = health
        self._seen: dict[int, _Tallies] = {}

    def forget(self, rollouts: Iterable[int]) -> None:
        """Keep only what is known of these rollouts."""
        kept = set(rollouts)
        self._seen = {rollout: seen for rollout, seen in self._seen.items() if rollout in kept}

    async def look(self, rollout: RolloutRecord, *, is_first: bool) -> Arms:
        """What was said since the last look of predictions that were made since the rollout began.

        `is_first`: nobody looked before, not even an earlier process; see `Observation.look`.
        """
        now = await self._tallies(rollout)
        if now is None:
            return Arms()
        before = self._seen.get(rollout.id, {} if is_first else now)
        self._seen[rollout.id] = now
        candidate, old = _arms(rollout, now)
        earlier, old_earlier = _arms(rollout, before)
        return Arms(candidate - earlier, old - old_earlier, old - old_earlier)

    async def _tallies(self, rollout: RolloutRecord) -> _Tallies | None:
        request = feedback_pb2.CountFeedbackRequest(model=rollout.model)
        request.since.FromDatetime(rollout.started_at)
        try:
            found = await self._health.call(
                lambda channel, left_s: feedback_pb2_grpc.FeedbackServiceStub(channel).CountFeedback(
                    request, timeout=left_s
                ),
                timeout_s=_TIMEOUT_S,
            )
        except LeptonError as error:
            _log.info("health does not tell what users say: %s", error)
            return None
        return {(each.version, each.variant): ArmCounts(good=each.good, bad=each.bad) for each in found.versions}


def _arms(rollout: RolloutRecord, said: _Tallies) -> tuple[ArmCounts, ArmCounts]:
    """Of the candidate and of what it is compared with; a version counts with all its variants."""
    if rollout.is_within_version:
        nothing, version = ArmCounts(), rollout.version
        return said.get((version, rollout.variant), nothing), said.get((version, rollout.old_variant), nothing)
    return _of_version(said, rollout.version), _of_version(said, rollout.old_version)


def _of_version(said: _Tallies, version: int) -> ArmCounts:
    return sum((each for key, each in said.items() if key[0] == version), ArmCounts())


def with_opinions(arms: Arms, opinions: Arms) -> Arms:
    """What was counted of the calls, and what was said of them."""
    return Arms(*(_with(getattr(arms, name), getattr(opinions, name)) for name in ("candidate", "baseline", "others")))


def _with(counts: ArmCounts, said: ArmCounts) -> ArmCounts:
    return replace(counts, good=said.good, bad=said.bad)
