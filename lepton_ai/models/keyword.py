"""A keyword spotter: which word a short sound says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models.fitting.purpose import classes_or_labels
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import Step, fit_pipeline, only_column
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Classification, Task

_WINDOW_MS, _HOP_MS = 32.0, 16.0


class KeywordSpotter(Model):
    """Tells short sounds apart by a small network of depthwise-separable convolutions (Zhang et al. 2017).

    A sound is brought to `rate` samples a second, freed of silence at its ends, put into the middle of `seconds` and
    seen as a log-mel spectrogram with `mels` bands. In training the network sees it shifted in time and pitch, louder
    and quieter in some bands, noisier and with bands and moments blanked out; `augment` says how much, 0: not at all.
    """

    def __init__(  # noqa: PLR0913 - every one is a choice of its own
        self,
        *,
        rate: int = 8000,
        seconds: float = 1.0,
        mels: int = 40,
        channels: int = 64,
        blocks: int = 4,
        augment: float = 1.0,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(
            rate=rate, seconds=seconds, mels=mels, channels=channels, blocks=blocks, augment=augment,
            dropout=dropout, seed=seed,
        )  # fmt: skip
        if not 0 <= augment <= 4:
            raise InvalidInput.of_field("augment", f"is {augment}, must be from 0 to 4")

    def prepare(self, data: Dataset) -> Pipeline:
        column = only_column(data, "sound")
        return fit_pipeline([column], self._steps(column.name), data)

    def define_task(self, data: Dataset) -> Task:
        return classes_or_labels(data, instead="la.wrap(module, steps=[…]) learns numbers from sounds.")

    def build_network(self) -> nn.Module:
        if not isinstance(self.task, Classification | MultiLabel):
            raise FailedPrecondition(
                "The network's size depends on the classes.", reason="NOT_TRAINED", fix="Call fit first."
            )
        config = self.config
        body = SpectrogramNetwork(config["channels"], config["blocks"], self.task.width, dropout=config["dropout"])
        return nn.Sequential(RelativeLoudness(), SpectrogramNoise(config["augment"]), body)

    def _steps(self, column: str) -> list[Step]:
        config = self.config
        return [
            {"op": "decode_sound", "input": column},
            {"op": "resample", "rate": config["rate"]},
            {"op": "trim_silence", "threshold_db": 35.0},
            {"op": "fit_length", "seconds": config["seconds"], "align": "center"},
            {
                "op": "log_mel",
                "mels": config["mels"],
                "window_ms": _WINDOW_MS,
                "hop_ms": _HOP_MS,
                "low_hz": 100.0,
                "output": "spectrogram",
            },
        ]


class RelativeLoudness(nn.Module):
    """Log-mel float32 [N, mels, frames] → the same relative to the loudest, −1 (60 dB below or less) to 1.

    So neither how loud a sound is nor what is silent in it makes a difference.
    """

    range_nepers = 60 / 10 * 2.302585092994046
    """60 dB of power, as a natural logarithm."""

    def forward(self, spectrogram: Tensor) -> Tensor:
        loudest = spectrogram.amax(dim=(1, 2), keepdim=True)
        return 1 + 2 * ((spectrogram - loudest) / self.range_nepers).clamp(min=-1)


class SpectrogramNoise(nn.Module):
    """Varies spectrograms in training: shifts, loudness by band, noise, blank bands and moments (Park et al. 2019)."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, spectrogram: Tensor) -> Tensor:
        if not self.training or not self.amount:
            return spectrogram
        rows, mels, frames = spectrogram.shape
        varied = _shifted(spectrogram, dim=2, most=max(1, int(self.amount * frames / 10)))
        varied = _shifted(varied, dim=1, most=max(1, int(self.amount * mels / 20)))
        varied = varied + self._loudness(rows, mels).to(varied)
        noise = torch.rand(rows, 1, 1).to(varied) * 0.15 * self.amount
        floor = -1 + torch.rand(rows, 1, 1).to(varied) * 0.5 * self.amount  # background noise hides what is quiet
        varied = torch.maximum(varied, floor) + noise * torch.randn_like(varied)
        varied = _blanked(varied, dim=1, most=int(self.amount * mels / 5))
        return _blanked(varied, dim=2, most=int(self.amount * frames / 5))

    def _loudness(self, rows: int, mels: int) -> Tensor:
        """A slope and a bend over the bands, as another microphone or room has."""
        place = torch.linspace(-1, 1, mels)
        slope, bend = torch.randn(2, rows, 1, 1) * 0.15 * self.amount
        curve: Tensor = slope * place.view(1, -1, 1) + bend * (place.square() - 1 / 3).view(1, -1, 1)
        return curve


class SpectrogramNetwork(nn.Module):
    """float32 [N, mels, frames] → logits [N, classes]."""

    def __init__(self, channels: int, blocks: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        first = nn.Conv2d(1, channels, (5, 5), stride=2, padding=2, bias=False)
        self.first = nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential(*(_separable(channels, stride=2 if index == 1 else 1) for index in range(blocks)))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes)
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.first(spectrogram.unsqueeze(1))))
        return logits


def _separable(channels: int, *, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def _shifted(values: Tensor, *, dim: int, most: int) -> Tensor:
    """Every row moved by its own number of places along a dimension, the end repeated."""
    size = values.shape[dim]
    moves = torch.randint(-most, most + 1, (values.shape[0], 1))
    places = (torch.arange(size) - moves).clamp(0, size - 1).to(values.device)
    places = places.unsqueeze(1 if dim == 2 else 2).expand_as(values)
    return values.gather(dim, places)


def _blanked(values: Tensor, *, dim: int, most: int) -> Tensor:
    """Every row with one stretch of its own along a dimension at the least value."""
    size = values.shape[dim]
    lengths = torch.randint(0, most + 1, (values.shape[0], 1))
    begins = (torch.rand(values.shape[0], 1) * (size - lengths + 1)).long()
    places = torch.arange(size)
    blank = ((places >= begins) & (places < begins + lengths)).to(values.device)
    return values.masked_fill(blank.unsqueeze(1 if dim == 2 else 2), -1.0)
