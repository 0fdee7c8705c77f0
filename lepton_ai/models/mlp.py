"""Layers of neurons for rows of numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models.checks import read_widths
from lepton_ai.models.cnn import classification
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, row_steps
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.tasks import Regression, Task

_RAMP_WIDTH = 0.5


class MLP(Model):
    """Predicts a class or a number from the numbers and categories of a row, or from an array of numbers.

    Gaps are filled, numbers standardised, categories one-hot: learned from the training data, saved with the model.
    With `ramps` the network also sees numbers range by range, see `NumberRamps`: so it finds thresholds as trees do.
    Without `task`, a target column of numbers means regression and any other classification.
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
        task: Literal["classification", "regression"] | None = None,
        ramps: bool = True,
        dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(hidden=read_widths("hidden", hidden), task=task, ramps=ramps, dropout=dropout, seed=seed)

    def prepare(self, data: Dataset) -> Pipeline:
        columns = data.schema.inputs
        return fit_pipeline(columns, row_steps(columns, data), data)

    def define_task(self, data: Dataset) -> Task:
        target = data.schema.target
        wanted = self.config["task"]
        if wanted == "regression" or (wanted is None and target is not None and target.kind == "number"):
            return Regression.of(data)
        return classification(data, None)

    def build_network(self) -> nn.Module:
        if self.pipeline is None or self.task is None:
            raise FailedPrecondition(
                "The network's size depends on the columns of the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        if isinstance(self.task, Regression):
            return Standardized(self._rows(self.pipeline, 1), self.task)
        assert hasattr(self.task, "classes")  # noqa: S101 - define_task makes no other
        return self._rows(self.pipeline, len(self.task.classes))

    def _rows(self, pipeline: Pipeline, outputs: int) -> nn.Module:
        shape = pipeline.outputs[0].shape
        width, kinds = prod(shape), list(pipeline.inputs.values())
        numbers = width if kinds == ["tensor"] and len(shape) == 1 else kinds.count("number")  # before the categories
        if not (self.config["ramps"] and numbers):
            return RowNetwork(width, self.config["hidden"], outputs, self.config["dropout"])
        ramps = NumberRamps(numbers)
        rows = RowNetwork(width + ramps.added, self.config["hidden"], outputs, self.config["dropout"])
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

    def __init__(self, features: int, hidden: Sequence[int], outputs: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = features
        for width in hidden:
            layers += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, outputs))

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.layers(features.flatten(1))
        return answers


class Standardized(nn.Module):
    """A network that learns in standard units and answers in those of the target."""

    def __init__(self, network: nn.Module, task: Regression) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = task.mean, task.std

    def forward(self, *inputs: Tensor) -> Tensor:
        values: Tensor = self.network(*inputs) * self.std + self.mean
        return values
