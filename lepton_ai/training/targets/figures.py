"""Figures of merit that torchmetrics lacks in the form in which they are shown."""

from __future__ import annotations

import torch
import torchmetrics
from torch import Tensor


class RSquared(torchmetrics.Metric):
    """1 − squared error / squared deviation from the mean, averaged over the targets: 1 is perfect, 0 as a constant.

    NaN where no target differs from row to row.
    """

    higher_is_better = True
    error: Tensor
    total: Tensor
    squares: Tensor
    rows: Tensor

    def __init__(self, targets: int) -> None:
        super().__init__()
        for name, size in (("error", targets), ("total", targets), ("squares", targets), ("rows", 1)):
            self.add_state(name, default=torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, target: Tensor) -> None:
        """Count a batch of values [N, targets]."""
        target = target.double()
        self.error += (values.double() - target).square().sum(dim=0)
        self.total += target.sum(dim=0)
        self.squares += target.square().sum(dim=0)
        self.rows += len(target)

    def compute(self) -> Tensor:
        """The figure over all batches."""
        deviation = self.squares - self.total.square() / self.rows
        varies = deviation > self.squares * 1e-12  # else it is what rounding left
        return (1 - self.error[varies] / deviation[varies]).mean()
