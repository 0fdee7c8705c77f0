"""A learning rate that is too high: large steps that lead nowhere."""

from __future__ import annotations

import statistics

from lepton_ai.training.doctor.finding import Check, Finding, Remedy
from lepton_ai.training.doctor.signs import Signs

_SAMPLES = 3
_GREATEST_CHANGE = 0.1
_NO_PROGRESS = 0.98


class LearningRateHigh(Check):
    """Steps change weights by more than a tenth, and the loss is where it began."""

    cause = "learning rate too high"
    explained_by = frozenset({"divergence", "not a number", "exploding gradients"})
    needs_falling_loss = True

    def at_sample(self, signs: Signs) -> Finding | None:
        changes = [layer.change / layer.weight for layer in signs.layers if layer.weight > 0]
        if not changes or signs.state.step <= signs.state.settings.warmup_steps:
            return None
        samples = self.remember("changes", statistics.median(changes), last=_SAMPLES)
        change, losses = statistics.median(samples), signs.losses
        makes_progress = losses.recent < _NO_PROGRESS * losses.first
        if len(samples) < _SAMPLES or change < _GREATEST_CHANGE or not losses.is_settled or makes_progress:
            return None
        return Finding(
            self.cause,
            f"Every step changes the weights by {change:.0%}, and the loss does not fall ({losses.first:.4g} in the "
            f"beginning, {losses.recent:.4g} now).",
            "Lower the learning rate: a tenth is a good try, model.find_learning_rate(data) finds a good one.",
            {"change_per_step": change, "learning_rate": signs.state.learning_rate, "loss": losses.recent},
            Remedy.LOWER_RATE,
        )
