"""Divergence: the loss grows in place of falling."""

from __future__ import annotations

import statistics

from lepton_ai.training.doctor.finding import Check, Finding, Remedy
from lepton_ai.training.doctor.signs import Signs

_WORSE_THAN_FIRST = 1.5
_WORSE_THAN_START = 10.0
_BLOWN_UP = 100.0
_FIRST_STEPS = 5
_WORSE_THAN_BEST = 3.0
_LARGE_CHANGE = 0.03
_NOISE = 8.0
"""Small batches differ so much that the mean of twenty losses goes up and down by so many standard deviations."""


class Divergence(Check):
    """The loss is half as large again as in the first steps, or has lost most of what was gained, and not by chance."""

    cause = "divergence"
    explained_by = frozenset({"not a number"})
    needs_falling_loss = True

    def at_sample(self, signs: Signs) -> Finding | None:
        losses = signs.losses
        has_blown_up = losses.steps >= _FIRST_STEPS and losses.recent > _BLOWN_UP * losses.start
        if losses.start <= 0 or not (losses.is_settled or has_blown_up):
            return None
        has_grown = losses.recent > min(_WORSE_THAN_FIRST * losses.first, _WORSE_THAN_START * losses.start)
        has_lost = losses.recent > max(_WORSE_THAN_BEST * losses.best, losses.first / 2)
        is_chance = losses.recent - losses.good < _NOISE * losses.noise
        if not (has_grown or (has_lost and not is_chance)):
            return None
        changes = [layer.change / layer.weight for layer in signs.layers if layer.weight > 0]
        change = statistics.median(changes) if changes else 0.0
        why = f" Every step changes the weights by {change:.0%}." if change > _LARGE_CHANGE else ""
        return Finding(
            self.cause,
            f"The loss grows: it is {losses.recent:.4g}, was {losses.start:.4g} in the beginning and {losses.good:.4g} "
            f"at its best.{why}",
            "Lower the learning rate (a tenth is a good try), add warmup_steps, clip_norm=1.0, or larger batches.",
            {
                "loss": losses.recent,
                "first_loss": losses.start,
                "best_loss": losses.good,
                "change_per_step": change,
                "learning_rate": signs.state.learning_rate,
            },
            Remedy.ROLL_BACK,
        )
