"""A small trained model for these tests: a network of two convolutions that tells three kinds of stripes apart."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from lepton_ai.datasets import Dataset
from lepton_ai.models import CNN
from lepton_ai.models.data import as_dataset
from lepton_ai.package import Package

SIDE = 12
KINDS = ("across", "along", "plain")


@cache
def stripes(count: int = 300, seed: int = 0) -> Dataset:
    """Noisy grey pictures [SIDE, SIDE] with stripes across, along, or none, and which it is."""
    generator = np.random.default_rng(seed)
    kinds = np.arange(count) % len(KINDS)
    lines = 120 * (np.arange(SIDE) % 2)
    patterns = np.stack([np.tile(lines[:, None], SIDE), np.tile(lines, (SIDE, 1)), np.full((SIDE, SIDE), 60)])
    pictures = patterns[kinds] + generator.integers(0, 100, (count, SIDE, SIDE))
    return as_dataset(pictures.astype(np.uint8), [KINDS[kind] for kind in kinds])


@cache
def trained() -> CNN:
    """A network that has learned them; nobody changes it."""
    model = CNN((SIDE, SIDE, 1), num_classes=3, channels=(16, 32), dropout=0.0)
    model.fit(stripes(), epochs=4, batch_size=32, progress=False, doctor=False)
    return model


def packaged(directory: Path) -> Package:
    """The network as a package."""
    return trained().package(directory, name="stripes")
