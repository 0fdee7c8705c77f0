"""Rows on their way through a network: what augmentations change and training consumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixed:
    """What else a batch is, when its rows were blended with others: those rows' targets."""

    targets: dict[str, Tensor]
    share: float
    """How much of each row is its own, from 0.5 to 1; its loss counts as much."""


@dataclass(frozen=True)
class Batch:
    """Rows on their way through a network: its inputs in order, and what should come out."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    mixed: Mixed | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def to(self, device: torch.device) -> Batch:
        """The same rows on a device."""
        if device.type == "cpu":
            return self
        mixed = self.mixed and Mixed(_on_device(self.mixed.targets, device), self.mixed.share)
        return Batch(_on_device(self.inputs, device), _on_device(self.targets, device), mixed)


Augment = Callable[[Batch, np.random.Generator], Batch]
"""Changes the rows of a batch at random, in training only."""


def _on_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
