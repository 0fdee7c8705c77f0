"""Training on, after a network was changed: with the rows of the search, by `fit`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

from lepton_ai.errors import FailedPrecondition
from lepton_ai.training.callbacks import Callback, TrainingState

if TYPE_CHECKING:
    from lepton_ai.models.model import Model
    from lepton_ai.optimize.methods import Workpiece

M = TypeVar("M", bound="Model")
_EPOCHS = 6
_SLOWER = 0.3
"""Of the rate that suits the kind of network: it has learned already."""
_USUAL_RATE = 1e-3


def copied(model: M) -> M:
    """A model with weights of its own."""
    return deepcopy(model)


def tune(model: M, piece: Workpiece, *, epochs: int = 0, callbacks: Sequence[Callback] = (), **settings: Any) -> M:
    """Train it on the rows of the search; `epochs` 0 stands for a few. Raises FailedPrecondition without rows."""
    if piece.data is None:
        raise FailedPrecondition("This method trains, and there are no rows with answers.", reason="NO_ROWS")
    rate = float(model.defaults.get("learning_rate", _USUAL_RATE)) * _SLOWER
    chosen = {"learning_rate": rate, "progress": False, "doctor": False, **settings}
    model.fit(piece.data, epochs=epochs or _EPOCHS, callbacks=[*callbacks, TimeLimit(piece.end_s)], **chosen)
    return model


class TimeLimit(Callback):
    """Ends a run when its time is over: what it has learned by then is measured like anything else."""

    def __init__(self, end_s: float) -> None:
        """`end_s`: on the monotonic clock."""
        self._end_s = end_s

    def on_batch_end(self, state: TrainingState) -> None:
        if time.monotonic() > self._end_s:
            state.stop("the time of the search is over")
