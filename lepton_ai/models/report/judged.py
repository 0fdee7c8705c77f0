"""What a model makes of every row of a data set, and where it is wrong most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lepton_ai.tensors import Array
from lepton_ai.training.evaluation import evaluate, outputs_of
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.tasks import Classification, Regression

if TYPE_CHECKING:
    from torch import nn

    from lepton_ai.datasets import Dataset

JUDGED_TASKS = (Classification, Regression)
"""Tasks of which single rows can be wrong."""


@dataclass(frozen=True)
class Mistake:
    """A row that the model gets wrong, and what it says instead."""

    row: int
    said: str


@dataclass(frozen=True)
class Judged:
    """A data set as the model sees it."""

    data: Dataset
    figures: dict[str, float]
    """Loss and metrics over all rows."""
    mistakes: tuple[Mistake, ...]
    """Worst first, as many as were asked for."""
    wrong: int | None = None
    """How many rows are wrong; None where answers are not right or wrong, but near or far."""
    confusion: Array | None = None
    """For a classifier: how many rows of each class (line) were taken for each (column)."""


def judge(
    network: nn.Module, task: Classification | Regression, prepared: Prepared, data: Dataset, *, most: int
) -> Judged:
    """Figures and the worst mistakes over all rows, at most so many."""
    figures = evaluate(network, task, prepared)
    if isinstance(task, Classification):
        mistakes, wrong, confusion = _judge_classes(network, task, prepared, most)
        return Judged(data, figures, mistakes, wrong, confusion)
    return Judged(data, figures, _judge_numbers(network, task, prepared, most))


def _judge_classes(
    network: nn.Module, task: Classification, prepared: Prepared, most: int
) -> tuple[tuple[Mistake, ...], int, Array]:
    """Mistakes are worst where the model is most certain of the wrong class."""
    said = torch.cat([logits.softmax(dim=1) for logits in outputs_of(network, task, prepared)])
    certainty, classes = said.max(dim=1)
    found, true = classes.numpy(), prepared.targets["class"].astype(np.int64)
    confusion = np.zeros((len(task.classes), len(task.classes)), dtype=np.int64)
    np.add.at(confusion, (true, found), 1)
    wrong = np.flatnonzero(found != true)
    worst = wrong[np.argsort(-certainty.numpy()[wrong], kind="stable")][:most]
    mistakes = tuple(Mistake(int(row), f"{task.classes[found[row]]} {float(certainty[row]):.0%}") for row in worst)
    return mistakes, len(wrong), confusion


def _judge_numbers(network: nn.Module, task: Regression, prepared: Prepared, most: int) -> tuple[Mistake, ...]:
    """Of several targets each row's worst one counts, measured by how much it varies."""
    said = torch.cat(list(outputs_of(network, task, prepared))).numpy().astype(np.float64)
    errors = said - prepared.targets["values"].astype(np.float64)
    sizes = np.abs(errors / np.asarray(task.std))
    worst_targets = sizes.argmax(axis=1)
    mistakes = []
    for row in np.argsort(-sizes.max(axis=1), kind="stable")[:most]:
        target = int(worst_targets[row])
        name = f"{task.names[target]}: " if task.names else f"{target}: " if task.width > 1 else ""
        mistakes.append(Mistake(int(row), f"{name}{said[row, target]:.5g} ({errors[row, target]:+.3g})"))
    return tuple(mistakes)
