"""The networks behind policies, as Triton runs them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


class TableLookup(nn.Module):
    """Action values of states by their number; NaN for what is no state, so that others in a batch get theirs."""

    table: torch.Tensor

    def __init__(self, table: npt.NDArray[np.float64], first_state: int) -> None:
        """`table` is [states, actions]; its first row belongs to `first_state`."""
        super().__init__()
        self.register_buffer("table", torch.from_numpy(table))
        self.first_state = first_state

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """int64 [N] → float64 [N, actions]."""
        row = observation - self.first_state
        known = row.clamp(0, self.table.shape[0] - 1)
        missing = torch.full((1, 1), float("nan"), dtype=self.table.dtype)
        return torch.where((row == known).unsqueeze(1), self.table[known], missing)


def make_network(widths: Sequence[int]) -> nn.Sequential:
    """Fully connected layers of these widths with ReLU between them, named as stable-baselines3 names them."""
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
