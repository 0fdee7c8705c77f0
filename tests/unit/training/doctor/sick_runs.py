"""Runs that are built to fail in one way each, with the doctor at hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.training.doctor import Doctor
from lepton_ai.training.history import History
from lepton_ai.training.prepared import Prepared
from tests.unit.training.runs import layers, points, train


def examine(network: nn.Module | None = None, data: Prepared | None = None, **settings: Any) -> History:
    """Train with a doctor; `auto` lets it act."""
    doctor = Doctor(auto=settings.get("auto", False), report=lambda _: None)
    return train(network, data, callbacks=[doctor, *settings.pop("callbacks", ())], **{"epochs": 10, **settings})


def causes(history: History) -> set[str]:
    return {note["finding"] for note in history.notes}


def actions(history: History) -> list[str]:
    return [note["action"] for note in history.notes if note["action"]]


def noisy(rows: int = 32, *, features: int = 16, seed: int = 0) -> Prepared:
    """Points whose class has nothing to do with them: they can only be learned by heart."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).astype(np.float32)
    return Prepared({"x": x}, {"class": random.integers(0, 2, rows)})


def with_bad_row(row: int, value: float = math.nan) -> Prepared:
    data = points()
    data.inputs["x"][row, 1] = value
    return data


class Logarithm(nn.Module):
    """Gives infinity for 0 and NaN below."""

    def forward(self, values: Tensor) -> Tensor:
        return values.log()


class Spike(nn.Module):
    """Multiplies by a very large number, once."""

    def __init__(self, at: int, factor: float = 1e5) -> None:
        super().__init__()
        self._left, self._factor = at, factor

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return values
        self._left -= 1
        return values * self._factor if self._left == 0 else values


def scaled(network: nn.Sequential, factor: float) -> nn.Sequential:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(factor)
    return network


def deep_sigmoids() -> nn.Sequential:
    return layers(4, *[8] * 10, 2, activation=nn.Sigmoid)
