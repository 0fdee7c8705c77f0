"""Losses by name, for tasks whose own loss is not what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.training.tasks import Classification, Loss, Outputs, Task

BatchLoss = Callable[[Outputs, Batch], Tensor]
"""One number for the outputs of a batch."""


def focal(logits: Tensor, classes: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Cross entropy that makes little of what is already right (Lin et al. 2017), for rare classes."""
    likelihood = functional.log_softmax(logits, dim=-1).gather(1, classes[:, None])[:, 0]
    return (-((1 - likelihood.exp()) ** gamma) * likelihood).mean()


LOSSES: dict[str, Loss] = {
    "cross_entropy": functional.cross_entropy,
    "focal": focal,
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "log_cosh": lambda output, target: torch.log(torch.cosh(output - target)).mean(),
}


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
    if isinstance(wanted, str) and wanted not in LOSSES:
        raise InvalidInput.of_field("loss", f"there is no {wanted!r}", fix=f"There are {', '.join(LOSSES)}.")
    if label_smoothing:
        return _smoothed(wanted, task, label_smoothing)
    if wanted is None:
        return task.loss
    function = LOSSES[wanted] if isinstance(wanted, str) else wanted
    return lambda outputs, batch: function(outputs[task.outputs[0]], next(iter(batch.targets.values())))


def _smoothed(wanted: str | Loss | None, task: Task, label_smoothing: float) -> BatchLoss:
    if not isinstance(task, Classification) or wanted not in (None, "cross_entropy"):
        raise InvalidInput.of_field("label_smoothing", "is only for classifiers that learn by cross entropy")
    weights = task.class_weights if wanted is None else None
    return Classification(task.classes, label_smoothing=label_smoothing, class_weights=weights).loss
