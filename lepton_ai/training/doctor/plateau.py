"""A plateau: the loss has stopped falling although there is something left to learn."""

from __future__ import annotations

import math

from lepton_ai.training.doctor.finding import Check, Finding, Remedy
from lepton_ai.training.doctor.signs import Signs

_EPOCHS = 5
_PROGRESS = 0.99
_LEARNED = 0.05


class Plateau(Check):
    """Five epochs at the full learning rate without one per cent of progress, far from having learned the rows."""

    cause = "plateau"
    explained_by = frozenset(
        {"learning rate too low", "learning rate too high", "vanishing gradients", "divergence", "not a number"}
    )
    needs_falling_loss = True

    def at_epoch(self, signs: Signs) -> Finding | None:
        losses = [each for each in signs.state.history["loss"] if each is not None and math.isfinite(each)]
        if len(losses) <= _EPOCHS or not signs.is_at_full_rate or losses[0] <= 0:
            return None
        before, since = min(losses[:-_EPOCHS]), min(losses[-_EPOCHS:])
        if since < _PROGRESS * before or since < _LEARNED * losses[0]:
            return None
        return Finding(
            self.cause,
            f"The training loss has not fallen for {_EPOCHS} epochs ({before:.4g} before, {since:.4g} at best since).",
            'Lower the learning rate (schedule="plateau" or "cosine" does), take a larger network or other inputs; or '
            "stop here: it may be all that the data say.",
            {"epochs": _EPOCHS, "best_loss_before": before, "best_loss_since": since},
            Remedy.LOWER_RATE,
        )
