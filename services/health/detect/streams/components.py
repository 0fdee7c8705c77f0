"""What the principal components of the recent past do not explain of the newest values.

The squared residual is the Q statistic of Jackson and Mudholkar (Technometrics 1979). Plain PCA is the best of 26
detectors on the facility metrics of TSB-AD-M (Liu and Paparrizos, NeurIPS 2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.health.detect.streams.ring import Ring

Floats = NDArray[np.float64]


@dataclass
class ComponentResidual:
    """Fed with the vector of `width` numbers of one process; learns its components from the last `memory` vectors.

    Odd is a residual above `margin` times the greatest among those that the components were learnt from.
    """

    width: int
    memory: int = 500
    explained: float = 0.95
    """Share of the variance that the components kept have."""
    margin: float = 1.5
    relearn: int = 50
    """Vectors between two times of learning."""
    least: float = 1e-9
    """A number is taken to vary by this at least."""
    kept: Ring = field(default_factory=lambda: Ring(1))
    since: int = 0
    centre: Floats = field(default_factory=lambda: np.zeros(0))
    scale: Floats = field(default_factory=lambda: np.zeros(0))
    basis: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """[components, width]."""
    limit: float = 0.0

    def __post_init__(self) -> None:
        self.kept = Ring(self.memory * self.width)

    def update(self, values: Floats) -> float:
        """The residual by its limit; 0 until half of the memory is filled, or when a number is missing."""
        if not np.isfinite(values).all():
            return 0.0
        odd = 0.0
        if self.limit > 0.0:
            odd = float(self._residuals(values[None, :])[0]) / self.limit
        # What is far out would bend the components towards itself.
        learnt = values if odd < 1.0 else self.centre + (values - self.centre) / odd
        for value in learnt:
            self.kept.push(float(value))
        self.since += 1
        known = len(self.kept) // self.width
        if known >= self.memory // 2 and (self.since >= self.relearn or not len(self.basis)):
            self._learn(self.kept.values[-known * self.width :].reshape(known, self.width))
        return odd

    def contributions(self, values: Floats) -> Floats:
        """How much each number adds to the residual, 0…1 in all: which of them is to blame."""
        squared = self._off(values[None, :])[0] ** 2
        shares: Floats = squared / max(float(squared.sum()), 1e-300)
        return shares

    def _residuals(self, rows: Floats) -> Floats:
        residuals: Floats = np.sqrt((self._off(rows) ** 2).sum(1))
        return residuals

    def _off(self, rows: Floats) -> Floats:
        standard: Floats = (rows - self.centre) / self.scale
        off: Floats = standard - standard @ self.basis.T @ self.basis
        return off

    def _learn(self, rows: Floats) -> None:
        self.since = 0
        self.centre = rows.mean(0)
        self.scale = np.maximum(rows.std(0), self.least)
        standard = (rows - self.centre) / self.scale
        variances, directions = np.linalg.eigh(standard.T @ standard)
        shares = np.cumsum(variances[::-1]) / max(float(variances.sum()), 1e-300)
        # At least one direction is left over: with all of them nothing would ever be odd.
        count = min(int(np.searchsorted(shares, self.explained)) + 1, self.width - 1)
        self.basis = np.ascontiguousarray(directions[:, ::-1][:, :count].T)
        self.limit = max(self.margin * float(self._residuals(rows).max()), 1e-6)
