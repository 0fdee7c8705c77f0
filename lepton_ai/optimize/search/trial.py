"""What became of one candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from lepton_ai.optimize.candidate import ORIGINAL, Candidate
from lepton_ai.optimize.measure.measured import Measured

State = Literal["measured", "dropped", "failed"]
"""Measured to the end; dropped early, as a first measurement showed that it loses or gains nothing; could not be made,
or gave wrong answers."""


@dataclass(frozen=True)
class Trial:
    """One candidate, tried."""

    candidate: Candidate
    state: State
    measured: Measured | None = None
    problem: str = ""
    """Why it was dropped or failed."""
    duration_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the candidate, and of its folder."""
        return self.candidate.name

    @property
    def is_original(self) -> bool:
        """Whether this is the original, measured beside itself."""
        return self.name == ORIGINAL

    def meets(self, max_loss: float) -> bool:
        """Whether it was measured to lose no more than this, by the best estimate."""
        return self.measured is not None and self.state == "measured" and self.measured.accuracy.loss.value <= max_loss

    def dropped(self, problem: str) -> Trial:
        """The same, dropped for a reason."""
        return replace(self, state="dropped", problem=problem)

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        return {**asdict(self), "name": self.name, "candidate": self.candidate.document()}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Trial:
        """What `document` gave."""
        measured = document["measured"]
        return cls(
            candidate=Candidate.of(document["candidate"]),
            state=document["state"],
            measured=None if measured is None else Measured.of(measured),
            problem=document["problem"],
            duration_s=document["duration_s"],
            notes=tuple(document["notes"]),
        )


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other one beats or equals in speed, loss, size and memory at once, better in one."""
    measured = [trial for trial in trials if trial.measured is not None and trial.state == "measured"]
    costs = {trial.name: _costs(trial) for trial in measured}
    return [
        trial
        for trial in measured
        if not any(_beats(costs[other.name], costs[trial.name]) for other in measured if other is not trial)
    ]


def _costs(trial: Trial) -> tuple[float, ...]:
    assert trial.measured is not None  # noqa: S101 - the caller has chosen those
    figures = trial.measured
    return -figures.speed.ratio.value, figures.accuracy.loss.value, figures.size_bytes, figures.memory_bytes


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
