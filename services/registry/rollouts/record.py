"""What is known of a rollout. Everything that it needs to go on after a restart is in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        """Whether both versions get calls, or copies of them."""
        return self in (State.RUNNING, State.PAUSED, State.HELD)


@dataclass(frozen=True)
class MetricGate:
    """A condition on a Prometheus expression whose result is one number."""

    name: str
    query: str
    """With $model, $version, $old_version and $variant in it."""
    comparison: str
    """"<", "<=", ">" or ">="."""
    threshold: float


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
    shadow: int = 0
    """The share of the calls that it gets a copy of in a step before those, in parts of WHOLE; 0: there is none."""
    sticky_by: str = ""
    """The metadata key that keeps a caller on one version, of an A/B test."""
    metrics: tuple[MetricGate, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    """Other margins than the default ones, by gate; 0: it is not judged."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The share at every step, with that of the shadow, which answers nobody."""
        return (0, *self.shares) if self.shadow else self.shares

    @property
    def is_decided_by_people(self) -> bool:
        """Whether nothing follows from the end of the last step."""
        return bool(self.sticky_by) or not self.shares


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
    variant: str = ""
    """Within one version: the variant of it that is to answer; empty: itself."""
    old_variant: str = ""


@dataclass(frozen=True)
class Decision:
    """That a rollout went to another state or step, and what was known then."""

    state: State
    step: int
    share: int
    """The new version's share from then on, in parts of WHOLE."""
    actor: str
    reason: str
    verdict: Mapping[str, Any] | None
    decided_at: datetime


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
    variant: str = ""
    """The variant of the version that it brings in; empty: the version itself."""
    old_variant: str = ""
    """The one that answers in place of the version when it does not come in; empty: itself."""
    ended_by: str = ""
    """The person who promoted, aborted or took it back last; empty: the registry did what was done."""

    @property
    def place(self) -> tuple[State, int]:
        """Where it stands: what a decision changes."""
        return self.state, self.step

    @property
    def is_within_version(self) -> bool:
        """Whether both arms are forms of one version, which has all calls of the route."""
        return self.version == self.old_version

    @property
    def candidate(self) -> str:
        """What it brings in, for people."""
        return f"variant {self.variant}" if self.variant else f"version {self.version}"

    @property
    def is_shadowing(self) -> bool:
        """Whether the new version only gets copies of calls now."""
        return self.plan.shadow > 0 and self.step == 0 and self.state.has_shares

    @property
    def share(self) -> int:
        """The new version's share now, in parts of WHOLE."""
        match self.state:
            case State.RUNNING | State.PAUSED | State.HELD:
                return self.plan.steps[self.step]
            case State.PROMOTED:
                return WHOLE
            case _:
                return 0
