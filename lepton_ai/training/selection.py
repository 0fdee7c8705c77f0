"""Which epoch was the best, and when waiting for a better one is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lepton_ai.errors import InvalidInput
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task

_VALIDATION = "validation_"
_EXPLODED = 100.0
"""A validation loss of more than so many times the least one (or 1, where that is less) belongs to no good epoch."""


class Selection:
    """Watches one figure over the epochs and keeps the weights of the best one.

    An epoch whose validation loss exploded is worse than every one whose loss did not, whatever it reaches by luck; one
    after which the network holds a number that is none, or infinite, is not chosen.
    """

    def __init__(self, monitor: str, *, higher_is_better: bool, patience: int | None, keeps_weights: bool) -> None:
        self.monitor = monitor
        self.best: float | None = None
        self._best_loss = self._least_loss = math.inf
        self.best_epoch: int | None = None
        self.weights: dict[str, Tensor] = {}
        self._higher = higher_is_better
        self._patience = patience
        self._keeps = keeps_weights
        self._waited = 0

    def saw(self, epoch: int, figures: Mapping[str, float], network: nn.Module) -> bool:
        """Take an epoch into account. True when it is the best so far."""
        value = figures.get(self.monitor, math.nan)
        loss = figures.get("validation_loss", math.inf)
        if loss < self._least_loss:
            self._least_loss = loss
        if not (math.isfinite(value) and self._improves(value, loss) and _is_sound(network)):
            self._waited += 1
            return False
        self.best, self._best_loss, self.best_epoch, self._waited = value, loss, epoch, 0
        if self._keeps:
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return True

    def _improves(self, value: float, loss: float) -> bool:
        """Of epochs that are equally good, the one with the smaller validation loss."""
        if self.best is None:
            return True
        if self._has_exploded(loss) != self._has_exploded(self._best_loss):
            return self._has_exploded(self._best_loss)
        if value == self.best:
            return loss < self._best_loss
        return value > self.best if self._higher else value < self.best

    def _has_exploded(self, loss: float) -> bool:
        return math.isfinite(self._least_loss) and not loss <= _EXPLODED * max(1.0, self._least_loss)

    @property
    def is_over(self) -> bool:
        """Whether there was no improvement for as many epochs as patience allows."""
        return self._patience is not None and self._waited >= self._patience

    def document(self) -> dict[str, Any]:
        """What `restore` needs beside the weights, as JSON data."""
        losses = {"best_loss": self._best_loss, "least_loss": self._least_loss}
        finite = {name: loss if math.isfinite(loss) else None for name, loss in losses.items()}
        return {"best": self.best, **finite, "best_epoch": self.best_epoch, "waited": self._waited}

    def restore(self, document: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
        """Go on where `document` was taken."""
        self.best, self.best_epoch, self._waited = document["best"], document["best_epoch"], document["waited"]
        losses = [document["best_loss"], document.get("least_loss")]
        self._best_loss, self._least_loss = (math.inf if loss is None else loss for loss in losses)
        self.weights = weights


def _is_sound(network: nn.Module) -> bool:
    """Whether no weight or buffer overflowed. Minus infinity is allowed: masks of attention are made of it."""
    tensors = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    return all(bool((tensor < math.inf).all()) for tensor in tensors)


def make_selection(settings: FitSettings, task: Task, *, is_validated: bool) -> Selection:
    """What `settings.monitor` asks for; by default the task's main metric. Raises InvalidInput for a strange figure."""
    monitor = settings.monitor or (_VALIDATION + task.main_metric if is_validated else "loss")
    directions = {"loss": False}
    if is_validated:
        directions |= {"validation_loss": False, _VALIDATION + task.main_metric: task.higher_is_better}
        metrics = task.metrics().items()
        directions |= {_VALIDATION + name: bool(metric.higher_is_better) for name, metric in metrics}
    if monitor not in directions:
        raise InvalidInput.of_field(
            "monitor", f"there is no {monitor!r} in this run", fix=f"There are {', '.join(directions)}."
        )
    return Selection(
        monitor,
        higher_is_better=directions[monitor],
        patience=settings.patience,
        keeps_weights=settings.keep_best and is_validated,
    )
