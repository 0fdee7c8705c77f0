"""The schedule "plateau": the learning rate falls when the run no longer gets better."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from lepton_ai.training.callbacks import Callback, TrainingState

_THRESHOLD = 1e-4


class PlateauSchedule(Callback):
    """Multiplies the learning rate by `factor` when the loss has not fallen for `patience` epochs.

    The loss is that of the validation data where there are any. It never falls below `least` of the rate that was set.
    """

    def __init__(self, *, factor: float = 0.3, patience: int = 3, least: float = 1e-4) -> None:
        self._factor, self._patience, self._least = factor, patience, least
        self._best = math.inf
        self._waited = 0

    def on_epoch_end(self, state: TrainingState) -> None:
        loss = state.figures.get("validation_loss", state.figures["loss"])
        if loss < self._best - _THRESHOLD * abs(self._best if math.isfinite(self._best) else 0):
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited >= self._patience and state.rate_factor > self._least:
            state.rate_factor = max(state.rate_factor * self._factor, self._least)
            self._waited = 0

    def document(self) -> dict[str, Any]:
        return {"best": self._best if math.isfinite(self._best) else None, "waited": self._waited}

    def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self._best = math.inf if document["best"] is None else document["best"]
        self._waited = document["waited"]
