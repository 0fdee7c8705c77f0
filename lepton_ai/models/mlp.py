"""Layers of neurons for rows of numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models.checks import check, read_widths
from lepton_ai.models.fitting.purpose import Purpose, TaskName, choose_task
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, row_steps
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.tasks import Regression, Task

_RAMP_WIDTH = 0.5
ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""What stands between layers, by name."""


class MLP(Model):
    """Predicts a class, labels or numbers from the numbers and categories of a row, or from an array of numbers.

    Gaps are filled, numbers standardised, categories one-hot: learned from the training data, saved with the model.
    With `ramps` the network also sees numbers range by range, see `NumberRamps`: so it finds thresholds as trees do.
    Without `task`, a target of numbers means regression, of lists of labels "multilabel", any other classification.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch_size": 64,
        "learning_rate": 3e-3,
        "weight_decay": 2.0,
        "schedule": "cosine",
    }

    def __init__(
        self,
        hidden: Sequence[int] = (128, 64),
        *,
        task: TaskName | None = None,
        activation: str = "relu",
        ramps: bool = True,
        dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden=read_widths("hidden", hidden), task=task, activation=activation, ramps=ramps, dropout=dropout,
            seed=seed,
        )  # fmt: skip
        check("activation", activation, activation in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}")

    def prepare(self, data: Dataset) -> Pipeline:
        columns = data.schema.inputs
        return fit_pipeline(columns, row_steps(columns, data), data)

    def define_task(self, data: Dataset) -> Task:
        return choose_task(data, self.config["task"])

    def build_network(self) -> nn.Module:
        if self.pipeline is None or self.task is None:
            raise FailedPrecondition(
                "The network's size depends on the columns of the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        assert isinstance(self.task, Purpose)  # noqa: S101 - define_task makes no other
        rows = self._rows(self.pipeline, self.task.width)
        return Standardized(rows, self.task) if isinstance(self.task, Regression) else rows

    def _rows(self, pipeline: Pipeline, outputs: int) -> nn.Module:
        shape = pipeline.outputs[0].shape
        width, kinds = prod(shape), list(pipeline.inputs.values())
        numbers = width if kinds == ["tensor"] and len(shape) == 1 else kinds.count("number")  # before the categories
        config = self.config
        if not (config["ramps"] and numbers):
            return RowNetwork(width, config["hidden"], outputs, config["dropout"], config["activation"])
        ramps = NumberRamps(numbers)
        rows = RowNetwork(width + ramps.added, config["hidden"], outputs, config["dropout"], config["activation"])
        return nn.Sequential(ramps, rows)


class NumberRamps(nn.Module):
    """float32 [N, features], the first `numbers` of them standardised → the same and every number range by range.

    For every range of half a deviation between −2.5 and 2.5 how much of it the number has passed, 0 to 1: a piecewise
    linear encoding (Gorishniy, Rubachev and Babenko 2022).
    """

    starts: Tensor

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.register_buffer("starts", torch.arange(-5, 5) * _RAMP_WIDTH, persistent=False)
        self.added = numbers * len(self.starts)

    def forward(self, features: Tensor) -> Tensor:
        numbers = features[:, : self.numbers].unsqueeze(2)
        passed = ((numbers - self.starts) / _RAMP_WIDTH).clamp(0, 1)
        return torch.cat([features, passed.flatten(1)], dim=1)


class RowNetwork(nn.Module):
    """float32 [N, features], or more dimensions, → float32 [N, outputs]."""

    def __init__(self, features: int, hidden: Sequence[int], outputs: int, dropout: float, activation: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = features
        for width in hidden:
            layers += [nn.Linear(before, width), nn.BatchNorm1d(width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, outputs))

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.layers(features.flatten(1))
        return answers


class Standardized(nn.Module):
    """A network that learns in standard units and answers in those of the target, or of each of several targets.

    Of a network that answers several tensors by name it is "values" that is learned.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, task: Regression) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(task.mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(task.std, dtype=torch.float32), persistent=False)

    def forward(self, *inputs: Tensor) -> Any:
        answers: Any = self.network(*inputs)
        if isinstance(answers, Mapping):
            return {**answers, "values": answers["values"] * self.std + self.mean}
        return answers * self.std + self.mean
