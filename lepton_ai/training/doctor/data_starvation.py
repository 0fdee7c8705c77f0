"""Data starvation: steps that mostly wait for their rows."""

from __future__ import annotations

from lepton_ai.training.doctor.finding import Check, Finding
from lepton_ai.training.doctor.signs import Signs

_GREATEST_SHARE = 0.5
_STEPS = 20


class DataStarvation(Check):
    """More than half of the time goes into reading and augmenting rows, and it is time that a person notices."""

    cause = "data starvation"

    def __init__(self, *, least_wait_s: float = 2.0) -> None:
        super().__init__()
        self._least_wait_s = least_wait_s

    def at_sample(self, signs: Signs) -> Finding | None:
        if signs.steps < _STEPS or signs.waited_s < self._least_wait_s:
            return None
        share = signs.waited_s / max(signs.stepped_s, 1e-9)
        if share < _GREATEST_SHARE:
            return None
        return Finding(
            self.cause,
            f"{share:.0%} of the time goes by waiting for data ({signs.waited_s / signs.steps * 1e3:.1f} ms a step).",
            "Make augment cheaper (smaller pictures, fewer changes, whole batches at once), or keep the rows on a "
            "faster disk or in memory.",
            {"share": share, "waited_s": signs.waited_s, "steps": signs.steps},
        )
