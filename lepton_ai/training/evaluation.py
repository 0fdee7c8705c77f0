"""Runs a network without training it: its answers, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import FailedPrecondition
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.tasks import Outputs, Task

_BATCH_SIZE = 256


def run_network(network: Any, batch: Batch, task: Task) -> dict[str, Tensor]:
    """A network's answers to a batch by name. Raises FailedPrecondition when there are not as many as the task has."""
    answers = network(*batch.inputs.values())
    if isinstance(answers, Tensor):
        answers = (answers,)
    if isinstance(answers, dict):
        return answers
    if len(answers) != len(task.outputs):
        raise FailedPrecondition(
            f"The network answers {len(answers)} tensors, {task.name} takes {len(task.outputs)}.",
            fix=f"Return {', '.join(task.outputs)}.",
        )
    return dict(zip(task.outputs, answers, strict=True))


def evaluate(
    network: Any,
    task: Task,
    data: Prepared,
    *,
    batch_size: int = _BATCH_SIZE,
    loss: Callable[[Outputs, Batch], Tensor] | None = None,
) -> dict[str, float]:
    """The loss and every metric of the task over all rows, computed in this process alone."""
    device = next(network.parameters()).device
    metrics = {name: metric.to(device) for name, metric in task.metrics().items()}
    for metric in metrics.values():  # else they ask the other processes, which may not be evaluating
        metric.distributed_available_fn = _never
    loss_sum, was_training = 0.0, network.training
    network.eval()
    with torch.inference_mode():
        for batch in (each.to(device) for each in data.batches(batch_size)):
            outputs = run_network(network, batch, task)
            loss_sum += float((loss or task.loss)(outputs, batch)) * len(batch)
            task.update(metrics, outputs, batch)
    network.train(was_training)
    return {"loss": loss_sum / len(data), **{name: float(metric.compute()) for name, metric in metrics.items()}}


def outputs_of(network: Any, task: Task, data: Prepared) -> Iterator[Tensor]:
    """What the network answers first to all rows, batch by batch, in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        for batch in data.batches(_BATCH_SIZE):
            yield run_network(network, batch, task)[task.outputs[0]]


def _never() -> bool:
    return False
