"""Rates that change while an agent learns: exploration and learning rate as functions of progress."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lepton_ai.errors import InvalidInput


@dataclass(frozen=True)
class Schedule:
    """Goes from `start` to `end` over the share `until` of the training, then stays there."""

    start: float
    end: float
    until: float = 1.0
    """Share of the training after which `end` is reached, above 0 and at most 1."""
    shape: Literal["linear", "exponential"] = "linear"

    def __post_init__(self) -> None:
        """Raises InvalidInput for values that cannot be followed."""
        if not 0 < self.until <= 1:
            raise InvalidInput.of_field("until", f"{self.until} is not a share above 0 and at most 1")
        if self.shape not in ("linear", "exponential"):
            raise InvalidInput.of_field("shape", "must be 'linear' or 'exponential'")
        if self.shape == "exponential" and min(self.start, self.end) <= 0:
            raise InvalidInput.of_field("end", "an exponential schedule has values above 0", fix="Use shape='linear'.")

    def __call__(self, progress: float) -> float:
        """The value after the share `progress` (0 to 1) of the training."""
        passed = min(max(progress / self.until, 0.0), 1.0)
        if self.shape == "linear":
            return self.start + (self.end - self.start) * passed
        return self.start * float((self.end / self.start) ** passed)

    def to_json(self) -> dict[str, Any]:
        """The schedule as plain data."""
        return asdict(self)


Rate = float | Schedule | dict[str, Any]
"""A constant, a schedule, or a schedule's plain data."""


def read_rate(value: Rate, *, field: str, greatest: float = 1.0) -> Schedule:
    """A number, a schedule or a schedule's plain data as a schedule. Raises InvalidInput for values out of range."""
    if isinstance(value, dict):
        try:
            value = Schedule(**value)
        except TypeError as error:
            raise InvalidInput.of_field(field, "is not a schedule", fix="Give start, end, until and shape.") from error
    schedule = value if isinstance(value, Schedule) else Schedule(float(value), float(value))
    for rate in (schedule.start, schedule.end):
        if not 0 <= rate <= greatest:
            raise InvalidInput.of_field(field, f"{rate:g} is not between 0 and {greatest:g}")
    return schedule


def check_gamma(gamma: float) -> float:
    """The discount of each step. Raises InvalidInput unless it is between 0 and 1."""
    if not 0 <= gamma <= 1:
        raise InvalidInput.of_field("gamma", f"{gamma:g} is not between 0 and 1")
    return float(gamma)
