"""Augmentation of sounds, as log-mel spectrograms: background noise, another moment, blank moments and bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lepton_ai.datasets.augment.inputs import check_within, column, vary_spectrograms
from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput

_NEPERS_PER_DB = float(np.log(10) / 10)
"""Natural logarithm of power for one decibel."""
_NOISE_SPREAD = 0.5
"""Standard deviation of the noise's log power from frame to frame and band to band."""


@dataclass(frozen=True)
class Noise:
    """Adds background noise, evenly over the bands, from `least_db` to `most_db` below the sound's mean power."""

    least_db: float = 15.0
    most_db: float = 40.0

    def __post_init__(self) -> None:
        if not self.least_db <= self.most_db:
            raise InvalidInput.of_field("least_db", f"is {self.least_db}, above most_db, which is {self.most_db}")

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(sounds: Tensor) -> Tensor:
            power = sounds.logsumexp(dim=(1, 2), keepdim=True) - float(np.log(sounds[0].numel()))
            below = column(random.uniform(self.least_db, self.most_db, len(sounds)) * _NEPERS_PER_DB, sounds)
            noise = torch.from_numpy(random.standard_normal(tuple(sounds.shape), dtype=np.float32))
            return torch.logaddexp(sounds, (noise.mul_(_NOISE_SPREAD) + (power - below)).to(sounds.dtype))

        return vary_spectrograms(batch, vary)


@dataclass(frozen=True)
class Shift:
    """Moves sounds in time by up to a share of their length; what comes in is as quiet as the quietest of the band."""

    share: float = 0.1

    def __post_init__(self) -> None:
        check_within("share", self.share, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        def vary(sounds: Tensor) -> Tensor:
            rows, bands, frames = sounds.shape
            most = round(self.share * frames)
            moves = torch.from_numpy(random.integers(-most, most + 1, (rows, 1, 1)))
            places = torch.arange(frames) - moves
            moved = sounds.gather(2, places.clamp(0, frames - 1).expand(rows, bands, frames))
            return torch.where((places < 0) | (places >= frames), sounds.amin(dim=2, keepdim=True), moved)

        return vary_spectrograms(batch, vary)


@dataclass(frozen=True)
class TimeMask:
    """Blanks `count` stretches of time, each up to a share of the length (SpecAugment, Park et al. 2019)."""

    share: float = 0.15
    count: int = 1

    def __post_init__(self) -> None:
        check_within("share", self.share, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return vary_spectrograms(batch, lambda sounds: _masked(sounds, 2, self.share, self.count, random))


@dataclass(frozen=True)
class FrequencyMask:
    """Blanks `count` stretches of bands, each up to a share of all (SpecAugment, Park et al. 2019)."""

    share: float = 0.15
    count: int = 1

    def __post_init__(self) -> None:
        check_within("share", self.share, 0, 1)

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return vary_spectrograms(batch, lambda sounds: _masked(sounds, 1, self.share, self.count, random))


def _masked(sounds: Tensor, axis: int, share: float, count: int, random: np.random.Generator) -> Tensor:
    """Stretches along an axis become the sound's mean, which says the least about it."""
    rows, length = len(sounds), sounds.shape[axis]
    places = torch.arange(length)
    blank = torch.zeros((rows, length), dtype=torch.bool)
    for _ in range(count):
        lengths = random.integers(0, round(share * length) + 1, (rows, 1))
        begins = random.integers(0, length - lengths + 1)
        blank |= (places >= torch.from_numpy(begins)) & (places < torch.from_numpy(begins + lengths))
    mean = sounds.mean(dim=(1, 2), keepdim=True)
    return torch.where(blank.unsqueeze(1 if axis == 2 else 2), mean, sounds)
