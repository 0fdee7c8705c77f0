"""What is known of a rollout. Everything that it needs to go on after a restart is in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

WHOLE = 10_000
"""All of an alias's traffic, in the parts in which shares are counted."""


class State(StrEnum):
    """Where a rollout stands."""

    WAITING = "waiting"
    """The new version is being loaded; it gets no traffic."""
    RUNNING = "running"
    PAUSED = "paused"
    """By a person; the shares stay as they are."""
    HELD = "held"
    """A step is over, and it is not settled whether the new version is good enough."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @property
    def is_under_way(self) -> bool:
        """Whether it is not decided yet."""
        return self in (State.WAITING, State.RUNNING, State.PAUSED, State.HELD)

    @property
    def has_shares(self) -> bool:
        """Whether both versions get traffic."""
        return self in (State.RUNNING, State.PAUSED, State.HELD)


@dataclass(frozen=True)
class Plan:
    """How a version comes into production."""

    shares: tuple[int, ...]
    """Its share of the traffic at each step, in parts of WHOLE; after the last step it gets all."""
    step_s: float
    bake_s: float
    """How long the old version is kept warm after that."""
    is_judged: bool = True
    """Else steps follow one another by time alone."""


@dataclass(frozen=True)
class NewRollout:
    """A rollout that is to begin, or (PROMOTED) a deployment that is to be remembered, for a later rollback."""

    model: str
    version: int
    old_version: int
    plan: Plan
    state: State
    actor: str
    reason: str = ""


@dataclass(frozen=True)
class RolloutRecord:
    """A rollout. While it `is_live`, both versions are kept, and somebody must look after it."""

    id: int
    model: str
    version: int
    old_version: int
    plan: Plan
    state: State
    step: int
    passed_s: float
    """Seconds of this step, or of the bake time, in which the registry was there to look on."""
    is_live: bool
    reason: str
    actor: str
    started_at: datetime
    changed_at: datetime
    judge: Mapping[str, Any] | None = None
    """All that the judge knows, while it is asked."""
    verdict: Mapping[str, Any] | None = None
    """What it said last."""

    @property
    def share(self) -> int:
        """The new version's share now, in parts of WHOLE."""
        match self.state:
            case State.RUNNING | State.PAUSED | State.HELD:
                return self.plan.shares[self.step]
            case State.PROMOTED:
                return WHOLE
            case _:
                return 0
