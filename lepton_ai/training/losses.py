"""Losses by name, for tasks whose own loss is not what is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.training.targets.weights import mean_over_rows
from lepton_ai.training.tasks import NUMBER_LOSSES, Classification, Loss, Outputs, Task

BatchLoss = Callable[[Outputs, Batch], Tensor]
"""One number for the outputs of a batch."""


def focal(logits: Tensor, classes: Tensor, *, gamma: float = 2.0, reduction: str = "mean") -> Tensor:
    """Cross entropy that makes little of what is already right (Lin et al. 2017), for rare classes."""
    likelihood = functional.log_softmax(logits, dim=-1).gather(1, classes[:, None])[:, 0]
    losses = -((1 - likelihood.exp()) ** gamma) * likelihood
    return losses.mean() if reduction == "mean" else losses


def log_cosh(output: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """The logarithm of the error's hyperbolic cosine: squared errors where they are small, absolute ones elsewhere."""
    distance = (output - target).abs()
    losses = distance + functional.softplus(-2 * distance) - math.log(2)  # the same, and finite for any error
    return losses.mean() if reduction == "mean" else losses


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "focal": focal,
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "log_cosh": log_cosh,
}
"""Of (output, target), with `reduction`: "mean", or "none" for one number a row or more."""
_ELSEWHERE = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "cross_entropy_loss": "cross_entropy",
    "crossentropyloss": "cross_entropy",
    "log_loss": "cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "bce": "binary_cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy",
    "binary_focal_crossentropy": "focal",
    "categorical_focal_crossentropy": "focal",
    "mean_squared_error": "mse",
    "squared_error": "mse",
    "mse_loss": "mse",
    "mseloss": "mse",
    "l2": "mse",
    "mean_absolute_error": "mae",
    "absolute_error": "mae",
    "l1": "mae",
    "l1_loss": "mae",
    "l1loss": "mae",
    "huber_loss": "huber",
    "logcosh": "log_cosh",
}
"""What other libraries call it."""
_LEARN_NUMBERS = ' To learn the targets as numbers, make the model with task="regression", where it has that.'


def make_loss(wanted: str | Loss | None, task: Task, *, label_smoothing: float = 0.0) -> BatchLoss:
    """The task's own loss, or another one on its first output and first target; of mixed rows, that to both targets.

    Raises InvalidInput.
    """
    loss = _plain_loss(wanted, task, label_smoothing)

    def loss_of(outputs: Outputs, batch: Batch) -> Tensor:
        if batch.mixed is None:
            return loss(outputs, batch)
        other = loss(outputs, replace(batch, targets=batch.mixed.targets))
        return torch.lerp(other, loss(outputs, batch), batch.mixed.share)

    return loss_of


def _plain_loss(wanted: str | Loss | None, task: Task, label_smoothing: float) -> BatchLoss:
    name = _known_name(wanted, task) if isinstance(wanted, str) else wanted
    if label_smoothing:
        return _smoothed(name, task, label_smoothing)
    if name is None:
        return task.loss
    function = partial(LOSSES[name], reduction="none") if isinstance(name, str) else name

    def loss(outputs: Outputs, batch: Batch) -> Tensor:
        return mean_over_rows(function(outputs[task.outputs[0]], next(iter(batch.targets.values()))), batch)

    return loss


def _known_name(wanted: str, task: Task) -> str:
    """The loss of this name, or of that which other libraries give it.

    Raises InvalidInput where there is none, and where it is for other targets than the task has.
    """
    name = _ELSEWHERE.get(wanted.lower(), wanted.lower())
    if name == "binary_cross_entropy" and isinstance(task, Classification) and len(task.classes) == 2:
        name = "cross_entropy"  # the same of two logits
    if name not in LOSSES:
        raise InvalidInput.of_field("loss", f"there is no {wanted!r}", fix=f"There are {', '.join(LOSSES)}.")
    if name not in task.losses:
        suiting = f"Give one of {', '.join(task.losses)}, or none" if task.losses else "Leave it out"
        numbers = _LEARN_NUMBERS if name in NUMBER_LOSSES and "cross_entropy" in task.losses else ""
        raise InvalidInput.of_field(
            "loss",
            f"{wanted!r} does not go with {task.name}",
            reason="LOSS_MISFIT",
            fix=f"{suiting}: its own loss suits it.{numbers}",
        )
    return name


def _smoothed(wanted: str | Loss | None, task: Task, label_smoothing: float) -> BatchLoss:
    if not isinstance(task, Classification) or wanted not in (None, "cross_entropy"):
        raise InvalidInput.of_field("label_smoothing", "is only for classifiers that learn by cross entropy")
    return Classification(task.classes, label_smoothing=label_smoothing).loss
