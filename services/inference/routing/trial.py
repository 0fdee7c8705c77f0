"""What is counted of a model's calls while a rollout brings a new version in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from lepton_ai.counts import ArmCounts


@dataclass(frozen=True)
class Candidate:
    """The version that a rollout brings in through an alias."""

    version: int
    rollout: int


@dataclass(frozen=True)
class Trial:
    """The arms of a rollout on this replica, since it heard of it."""

    rollout: int
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    candidate: ArmCounts = field(default_factory=ArmCounts)
    baseline: ArmCounts = field(default_factory=ArmCounts)
    """As many calls of the other versions as the candidate gets, chosen as it is."""
    rest: ArmCounts = field(default_factory=ArmCounts)

    def arm(self, *, is_candidate: bool, share: float, point: float) -> ArmCounts:
        """Where to count a call. `share`: of the candidate. `point`: 0 ≤ point < 1, of this call, by chance."""
        if is_candidate:
            return self.candidate
        return self.baseline if point * (1.0 - share) < share else self.rest
