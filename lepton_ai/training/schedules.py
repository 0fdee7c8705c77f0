"""The learning rate over a run, as a share of the one that was set. Schedules are functions: nothing to save."""

from __future__ import annotations

import math
from collections.abc import Callable

from lepton_ai.errors import InvalidInput

Schedule = Callable[[int, int], float]
"""Share of the learning rate at step `step` of `steps`, both counted from 0."""
PLATEAU = "plateau"


def constant(step: int, steps: int) -> float:
    """The same rate throughout."""
    return 1.0


def cosine(step: int, steps: int) -> float:
    """Half a cosine from the full rate to 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * min(step / max(1, steps), 1.0)))


def linear(step: int, steps: int) -> float:
    """A straight line from the full rate to 0."""
    return max(0.0, 1 - step / max(1, steps))


def one_cycle(step: int, steps: int, *, rise: float = 0.3, start: float = 1 / 25, end: float = 1e-4) -> float:
    """Up from a 25th of the rate for the first third of the run, then down to nearly nothing (Smith and Topin 2018)."""
    done = min(step / max(1, steps), 1.0)
    if done < rise:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * done / rise))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))


def steps_down(*, every: float = 1 / 3, factor: float = 0.1) -> Schedule:
    """A rate that is multiplied by `factor` after every such share of the run."""
    return lambda step, steps: factor ** int(step / max(1, steps) / every)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "one_cycle": one_cycle,
    "step": steps_down(),
    PLATEAU: constant,  # what lowers the rate is a callback, which knows the losses
}


def make_schedule(wanted: str | Schedule, *, warmup_steps: int = 0) -> Schedule:
    """The schedule, after a straight rise over the first `warmup_steps`. Raises InvalidInput for an unknown name.

    Before its first step, a run that is shorter than the warm-up raises InvalidInput too.
    """
    if isinstance(wanted, str) and wanted not in SCHEDULES:
        raise InvalidInput.of_field("schedule", f"there is no {wanted!r}", fix=f"There are {', '.join(SCHEDULES)}.")
    schedule = SCHEDULES[wanted] if isinstance(wanted, str) else wanted
    if not warmup_steps:
        return schedule

    def warmed(step: int, steps: int) -> float:
        if steps < warmup_steps:
            raise InvalidInput.of_field(
                "warmup_steps",
                f"is {warmup_steps}, the run has {steps}: it would never reach its learning rate",
                fix=f"Try {max(1, steps // 10)}, a tenth of the run, or more epochs.",
            )
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return schedule(step - warmup_steps, max(1, steps - warmup_steps))

    return warmed
