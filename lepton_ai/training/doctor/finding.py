"""What the doctor can find, and the form of a check that finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from lepton_ai.training.doctor.signs import Signs

_LARGE = 1e30


class Remedy(StrEnum):
    """What can be done about a finding while the run goes on."""

    NONE = ""
    LOWER_RATE = "lower rate"
    CLIP = "clip"
    ROLL_BACK = "roll back"


@dataclass(frozen=True)
class Finding:
    """Something that goes wrong in a run."""

    cause: str
    """A stable name: "vanishing gradients"."""
    message: str
    """What is seen, and where, in one sentence."""
    advice: str
    """What a person can do."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The figures behind it, as JSON data."""
    remedy: Remedy = Remedy.NONE


def bounded(value: float) -> float:
    """What is not finite as something very large: JSON has no number for it."""
    return max(-_LARGE, min(value, _LARGE)) if value == value else _LARGE  # only NaN differs from itself


class Check:
    """Looks for one cause. What it remembers lies in `memory` as JSON data, so that a run can go on after a kill."""

    cause: ClassVar[str]
    explained_by: ClassVar[frozenset[str]] = frozenset()
    """Causes of which this one is only a consequence: not reported when they are."""
    needs_falling_loss: ClassVar[bool] = False
    """Whether it makes sense only where a good run makes the loss smaller, which rivals do not."""

    def __init__(self) -> None:
        self.memory: dict[str, Any] = {}

    def at_sample(self, signs: Signs) -> Finding | None:
        """After a step of which gradients, weights and activations were measured."""
        return None

    def at_epoch(self, signs: Signs) -> Finding | None:
        """After an epoch; its figures are the last in `signs.state.history`."""
        return None

    def remember(self, name: str, value: float, *, last: int) -> list[float]:
        """Add to a list of which the last so many values are kept; gives the list."""
        values: list[float] = self.memory.setdefault(name, [])
        values.append(bounded(value))
        del values[:-last]
        return values
