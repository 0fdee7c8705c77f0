"""An autoencoder: learns to rebuild what is normal, so that what it cannot rebuild stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models.checks import check, read_picture_shape, read_widths
from lepton_ai.models.cnn import normalize_pixels
from lepton_ai.models.data import Data
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, picture_steps, row_steps
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.anomalies import AnomalyDetection, is_normal
from lepton_ai.training.history import History
from lepton_ai.training.loop import Material
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task

_BATCH_SIZE = 256
_SIDE_MULTIPLE = 4


class Autoencoder(Model):
    """Finds anomalies in rows of numbers and categories, in arrays of numbers, or with `input_shape` in pictures.

    `normal` names the class of the target column that is normal: rows of other classes are left out of training and
    count as anomalies in `evaluate`. Without it every row is taken for normal and a target column is not looked at.
    The threshold is the `quantile` of the scores of validation rows (of training rows without validation).
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 32),
        code: int = 4,
        *,
        input_shape: Sequence[int] | None = None,
        normal: str | None = None,
        quantile: float = 0.99,
        seed: int = 0,
    ) -> None:
        self._shape = None if input_shape is None else read_picture_shape(input_shape, multiple_of=_SIDE_MULTIPLE)
        super().__init__(
            hidden=read_widths("hidden", hidden),
            code=code,
            input_shape=None if self._shape is None else list(self._shape),
            normal=normal,
            quantile=quantile,
            seed=seed,
        )
        check("quantile", quantile, 0 < quantile < 1, "between 0 and 1")

    @property
    def threshold(self) -> float:
        """The score above which an example is an anomaly. Raises FailedPrecondition before `fit`."""
        self._trained()
        return float(self.network.threshold)  # type: ignore[arg-type] # a buffer

    def prepare(self, data: Dataset) -> Pipeline:
        if self._shape is not None:
            column, steps = picture_steps(data, self._shape)
            return fit_pipeline([column], steps, data)
        columns = data.schema.inputs
        return fit_pipeline(columns, row_steps(columns, data), data)

    def define_task(self, data: Dataset) -> Task:
        return AnomalyDetection(self.config["normal"])

    def build_network(self) -> nn.Module:
        hidden, code = self.config["hidden"], self.config["code"]
        if self._shape is not None:
            return PictureAutoencoder(self._shape, hidden, code)
        if self.pipeline is None:
            raise FailedPrecondition(
                "The network's size depends on the columns of the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        return RowAutoencoder(prod(self.pipeline.outputs[0].shape), hidden, code)

    def train(self, material: Material, settings: FitSettings) -> History:
        history = super().train(material, settings)
        judged = material.train if material.validation is None else material.validation
        scores = score_rows(self.network, judged)
        if "anomaly" in judged.targets:
            scores = scores[torch.from_numpy(judged.targets["anomaly"] == 0)]
        self.network.threshold.fill_(torch.quantile(scores, self.config["quantile"]))  # type: ignore[operator]
        return history

    def _split(self, data: Dataset, validation: Data | float | None, *, seed: int) -> tuple[Dataset, Dataset | None]:
        """Only what is normal is learned from; what is not helps to choose the best epoch."""
        normal, target = self.config["normal"], data.schema.target
        if normal is None and target is not None:  # so that its classes are no matter for the split either
            data = data.with_schema(data.schema.with_column(replace(target, role="ignore")))
        train, judge = super()._split(data, validation, seed=seed)
        return (train if normal is None else train.filter(is_normal(train, normal))), judge


class _Scoring(nn.Module):
    """A network that gives, for what it takes, a score [N, 1] and a verdict [N, 2]: how far from an anomaly, how near.

    The two sum to 1 and are equal when the score is at the threshold.
    """

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.ones(()))

    def judge(self, score: Tensor) -> dict[str, Tensor]:
        anomaly = score / (score + self.threshold)
        return {"score": score, "verdict": torch.cat((1 - anomaly, anomaly), dim=1)}


class RowAutoencoder(_Scoring):
    """float32 [N, features] → score and verdict."""

    def __init__(self, features: int, hidden: Sequence[int], code: int) -> None:
        super().__init__()
        self.encoder = _layers([features, *hidden, code])
        self.decoder = _layers([code, *reversed(hidden), features])

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        features = features.flatten(1)
        rebuilt = self.decoder(self.encoder(features))
        return self.judge((rebuilt - features).square().mean(dim=1, keepdim=True))


class PictureAutoencoder(_Scoring):
    """uint8 [N, height, width, channels] → score and verdict. Two convolutions with stride 2, and back."""

    def __init__(self, shape: Sequence[int], hidden: Sequence[int], code: int) -> None:
        super().__init__()
        height, width, channels = shape
        first, second = (*hidden, 64, 32)[:2]
        inner = (first, height // _SIDE_MULTIPLE, width // _SIDE_MULTIPLE)
        size = inner[0] * inner[1] * inner[2]
        self.encoder = nn.Sequential(_down(channels, second), _down(second, first), nn.Flatten(), nn.Linear(size, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, size),
            nn.ReLU(),
            nn.Unflatten(1, inner),
            nn.ConvTranspose2d(first, second, 4, stride=2, padding=1),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.ConvTranspose2d(second, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        pixels = normalize_pixels(image)
        rebuilt = self.decoder(self.encoder(pixels))
        return self.judge((rebuilt - pixels).square().flatten(1).mean(dim=1, keepdim=True))


def score_rows(network: nn.Module, rows: Prepared) -> Tensor:
    """The scores of all rows, [rows]."""
    with torch.inference_mode():
        parts = [network(*batch.inputs.values())["score"][:, 0] for batch in rows.batches(_BATCH_SIZE)]
    return torch.cat(parts)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ELU()]
    return nn.Sequential(*layers[:-1])


def _down(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
