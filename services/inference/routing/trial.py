"""What is counted of a model's calls while a rollout brings a new version in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from lepton_ai.counts import ArmCounts
from services.inference.version import LoadedVersion


@dataclass(frozen=True)
class Candidate:
    """The version that a rollout brings in through an alias, or the variant of the version that is there."""

    version: int
    rollout: int
    shadow: float = 0.0
    """The share of the calls that it gets a copy of, while it answers none itself."""
    sticky_by: str = ""
    """Where the routing key of calls comes from that have none; those without either go to the other versions."""
    variant: str = ""
    """Empty: the version itself."""
    share: float = 0.0
    """Of a variant: the share of its version's calls that it answers. Versions have weights for that."""
    loaded: LoadedVersion | None = None
    """Of a variant: it, while it serves here."""


@dataclass(frozen=True)
class Trial:
    """The arms of a rollout on this replica, since it heard of it."""

    rollout: int
    is_shadow: bool = False
    """Then `candidate` has the copies of calls, `baseline` the same calls as they were answered, `rest` nothing."""
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
