"""Rotation and scale of pictures: several changes of shape in a row cost one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lepton_ai.datasets.augment.inputs import check_within, in_type, vary_pictures
from lepton_ai.datasets.batch import Batch

Matrices = np.ndarray[tuple[int, int, int], np.dtype[np.float64]]


class ShapeChange(Protocol):
    """One linear change of the plane for every picture."""

    def matrices(self, rows: int, random: np.random.Generator) -> Matrices:
        """[rows, 2, 2]: from a place in the new picture to the one in the old, in pixels from the middle."""


@dataclass(frozen=True)
class Rotate:
    """Turns pictures by up to so many degrees either way; what comes in from outside repeats the border."""

    degrees: float = 10.0

    def __post_init__(self) -> None:
        check_within("degrees", self.degrees, 0, 180)

    def matrices(self, rows: int, random: np.random.Generator) -> Matrices:
        """See `ShapeChange`."""
        angles = np.deg2rad(random.uniform(-self.degrees, self.degrees, rows))
        cos, sin = np.cos(angles), np.sin(angles)
        turns: Matrices = np.stack([cos, -sin, sin, cos], axis=1).reshape(rows, 2, 2)
        return turns

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return Warp((self,))(batch, random)


@dataclass(frozen=True)
class Scale:
    """Makes what is seen larger or smaller by a factor of up to 1 + `amount`, about the picture's middle."""

    amount: float = 0.1

    def __post_init__(self) -> None:
        check_within("amount", self.amount, 0, 4)

    def matrices(self, rows: int, random: np.random.Generator) -> Matrices:
        """See `ShapeChange`."""
        factors = np.exp(random.uniform(-1, 1, rows) * np.log1p(self.amount))
        scales: Matrices = factors[:, np.newaxis, np.newaxis] * np.eye(2)
        return scales

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return Warp((self,))(batch, random)


@dataclass(frozen=True)
class Warp:
    """Some changes of shape, one after the other, in a single bilinear resampling."""

    changes: tuple[ShapeChange, ...]

    def __call__(self, batch: Batch, random: np.random.Generator) -> Batch:
        return vary_pictures(batch, lambda pictures: _resampled(pictures, self._matrices(len(pictures), random)))

    def _matrices(self, rows: int, random: np.random.Generator) -> Matrices:
        product: Matrices = np.broadcast_to(np.eye(2), (rows, 2, 2))
        for change in self.changes:
            product = product @ change.matrices(rows, random)
        return product


def join_warps(steps: Sequence[object]) -> list[object]:
    """The same steps, with changes of shape that follow one another made one."""
    joined: list[object] = []
    for step in steps:
        changes = step.changes if isinstance(step, Warp) else (step,) if isinstance(step, Rotate | Scale) else ()
        if changes and joined and isinstance(joined[-1], Warp):
            joined[-1] = Warp((*joined[-1].changes, *changes))
        else:
            joined.append(Warp(changes) if changes else step)
    return joined


def _resampled(pictures: Tensor, matrices: Matrices) -> Tensor:
    height, width = pictures.shape[1:3]
    sides = np.array([width, height], dtype=np.float64)
    in_shares = matrices * sides[np.newaxis, np.newaxis, :] / sides[np.newaxis, :, np.newaxis]
    theta = torch.from_numpy(np.pad(in_shares, ((0, 0), (0, 0), (0, 1))).astype(np.float32))
    planes = pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    grid = functional.affine_grid(theta, list(planes.shape), align_corners=False)
    moved = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return in_type(moved, pictures).permute(0, 2, 3, 1).contiguous()
