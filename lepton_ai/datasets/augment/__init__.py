"""Variations of training data: pictures, texts, sounds and tables, at random and seeded.

`model.fit(data, augment=[Flip(), RandomCrop(4), Colour(0.2)])`, or the name of a preset: `augment="images"`.
"""

from lepton_ai.datasets.augment.compose import PRESETS, Compose, make_augment
from lepton_ai.datasets.augment.images import Colour, Cutout, Flip, RandomCrop
from lepton_ai.datasets.augment.mixup import Mixup
from lepton_ai.datasets.augment.sounds import FrequencyMask, Noise, Shift, TimeMask
from lepton_ai.datasets.augment.tables import Jitter, oversample
from lepton_ai.datasets.augment.texts import TokenDropout, TokenSwap
from lepton_ai.datasets.augment.warp import Rotate, Scale

__all__ = [
    "PRESETS",
    "Colour",
    "Compose",
    "Cutout",
    "Flip",
    "FrequencyMask",
    "Jitter",
    "Mixup",
    "Noise",
    "RandomCrop",
    "Rotate",
    "Scale",
    "Shift",
    "TimeMask",
    "TokenDropout",
    "TokenSwap",
    "make_augment",
    "oversample",
]
