"""A learning rate that is too low: steps that change nothing."""

from __future__ import annotations

import statistics

from lepton_ai.training.doctor.finding import Check, Finding
from lepton_ai.training.doctor.signs import Signs

_SAMPLES = 5
_STEPS = 30
_LEAST_CHANGE = 3e-5
_NO_PROGRESS = 0.98


class LearningRateLow(Check):
    """Steps change weights by less than a 30,000th, and the loss has hardly fallen."""

    cause = "learning rate too low"
    explained_by = frozenset({"not a number", "divergence"})
    needs_falling_loss = True

    def at_sample(self, signs: Signs) -> Finding | None:
        changes = [layer.change / layer.weight for layer in signs.layers if layer.weight > 0]
        if not changes or not signs.is_at_full_rate:
            return None
        samples = self.remember("changes", statistics.median(changes), last=_SAMPLES)
        change, losses = statistics.median(samples), signs.losses
        if len(samples) < _SAMPLES or losses.steps < _STEPS or change > _LEAST_CHANGE:
            return None
        if not _NO_PROGRESS * losses.first < losses.recent < losses.first / _NO_PROGRESS:
            return None
        return Finding(
            self.cause,
            f"A step changes the weights by only {change:.1e} of their size, and the loss has hardly moved in "
            f"{losses.steps} steps.",
            "Raise the learning rate: ten times as high is a good try, model.find_learning_rate(data) finds one.",
            {"change_per_step": change, "learning_rate": signs.state.learning_rate, "loss": losses.recent},
        )
