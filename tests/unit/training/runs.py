"""Small runs for tests: two classes of points that a line separates, and networks of a few neurons."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import nn

from lepton_ai.training.history import History
from lepton_ai.training.loop import Material, Training
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Classification

CLASSES = Classification(("左", "right"))


def points(rows: int = 64, *, features: int = 4, seed: int = 0) -> Prepared:
    """Points at random, of one class or the other by the sign of their first number."""
    x = np.random.default_rng(seed).normal(size=(rows, features)).astype(np.float32)
    return Prepared({"x": x}, {"class": (x[:, 0] > 0).astype(np.int64)})


def layers(*sizes: int, activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    """Linear layers of these sizes with something between them."""
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [nn.Linear(before, after), activation()]
    return nn.Sequential(*modules[:-1])


def train(
    network: nn.Module | None = None,
    data: Prepared | None = None,
    validation: Prepared | None = None,
    *,
    augment: Any = None,
    **settings: Any,
) -> History:
    """Train on points, for two epochs unless told otherwise."""
    material = Material(data or points(), validation, augment)
    chosen = FitSettings(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.01, **settings})
    return Training(network or layers(4, 8, 2), CLASSES, material, chosen).fit()
