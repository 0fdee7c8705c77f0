"""Over-fitting: better and better at the training rows, worse and worse at others."""

from __future__ import annotations

import math

from lepton_ai.training.doctor.finding import Check, Finding
from lepton_ai.training.doctor.signs import Signs

_EPOCHS = 3
_WORSE = 1.1
_NOTICEABLE = 0.05
_GREATEST_SHARE = 0.7


class OverFitting(Check):
    """For three epochs the validation loss has been a tenth above its best while the training loss went on falling.

    Not when that is next to nothing against where it began, or when both losses are about the same.
    """

    cause = "over-fitting"
    needs_falling_loss = True

    def at_epoch(self, signs: Signs) -> Finding | None:
        epochs = [each for each in signs.state.history.epochs if _is_finite(each)]
        if len(epochs) <= _EPOCHS:
            return None
        best = min(range(len(epochs)), key=lambda index: epochs[index]["validation_loss"])
        after = epochs[best + 1 :]
        last, least = epochs[-1], epochs[best]["validation_loss"]
        limit = max(_WORSE * least, least + _NOTICEABLE * epochs[0]["validation_loss"])
        is_worse = all(
            each["validation_loss"] > limit and each["loss"] < _GREATEST_SHARE * each["validation_loss"]
            for each in after[-_EPOCHS:]
        )
        if len(after) < _EPOCHS or not is_worse or last["loss"] >= epochs[best]["loss"]:
            return None
        return Finding(
            self.cause,
            f"Since epoch {best + 1} the network learns the training rows by heart: validation loss "
            f"{least:.4g} → {last['validation_loss']:.4g}, training loss {epochs[best]['loss']:.4g} → "
            f"{last['loss']:.4g}.",
            "Get more rows, augment them, raise dropout or weight_decay, take a smaller network, or stop early "
            "(patience=3). The weights of the best epoch are kept unless keep_best=False.",
            {"best_epoch": best + 1, "best_validation_loss": least, "validation_loss": last["validation_loss"]},
        )


def _is_finite(epoch: dict[str, float]) -> bool:
    values = (epoch.get("loss"), epoch.get("validation_loss"))
    return all(value is not None and math.isfinite(value) for value in values)
