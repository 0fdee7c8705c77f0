"""A convolutional network for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.models.checks import check, read_picture_shape, read_widths
from lepton_ai.models.fitting.purpose import Purpose, TaskName, choose_task
from lepton_ai.models.mlp import Standardized
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, picture_steps
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.tasks import Regression, Task

_LARGE_SIDE = 96
_SMALLEST_TO_HALVE = 4


class CNN(Model):
    """A class, or numbers, for a picture: convolutions with batch norm that halve it, an average, one linear layer.

    `input_shape` is (height, width, channels); pictures in files, of any size, are scaled to it. `channels`
    gives the width of each block. Pictures travel as bytes and are normalised inside the network. Without `task`, a
    target of numbers means regression; `num_classes` is for classes alone.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 3e-3, "schedule": "one_cycle"}

    def __init__(
        self,
        input_shape: Sequence[int] = (128, 128, 3),
        num_classes: int = 2,
        *,
        task: TaskName | None = None,
        channels: Sequence[int] = (16, 32, 64, 128),
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        self._shape = read_picture_shape(input_shape)
        check("num_classes", num_classes, num_classes >= 2, "at least 2")
        super().__init__(
            input_shape=list(self._shape),
            num_classes=num_classes,
            task=task,
            channels=read_widths("channels", channels),
            dropout=dropout,
            seed=seed,
        )
        self._classes = num_classes

    def prepare(self, data: Dataset) -> Pipeline:
        column, steps = picture_steps(data, self._shape)
        return fit_pipeline([column], steps, data)

    def define_task(self, data: Dataset) -> Task:
        return choose_task(data, self.config["task"], classes=self._classes)

    def build_network(self) -> nn.Module:
        width = self.task.width if isinstance(self.task, Purpose) else self._classes
        network = PictureNetwork(self._shape, width, tuple(self.config["channels"]), self.config["dropout"])
        return Standardized(network, self.task) if isinstance(self.task, Regression) else network


class PictureNetwork(nn.Module):
    """uint8 or float32 [N, height, width, channels], 0 to 255, → float32 [N, answers]."""

    def __init__(self, shape: tuple[int, int, int], answers: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        side = min(shape[:2])
        stride = 2 if side >= _LARGE_SIDE else 1
        side //= stride
        blocks: list[nn.Module] = []
        before = shape[2]
        for index, width in enumerate(widths):
            blocks += [_convolution(before, width, stride=stride if index == 0 else 1), _convolution(width, width)]
            if side >= _SMALLEST_TO_HALVE:
                blocks.append(nn.MaxPool2d(2))
                side //= 2
            before = width
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(before, answers)
        )

    def forward(self, image: Tensor) -> Tensor:
        answers: Tensor = self.head(self.features(normalize_pixels(image)))
        return answers


def normalize_pixels(image: Tensor) -> Tensor:
    """uint8 or float32 [N, height, width, channels] from 0 to 255 → float32 [N, channels, height, width] from −1 to 1.

    Grey pictures may lack the last dimension.
    """
    image = image.unsqueeze(3) if image.ndim == 3 else image
    return image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
