"""Seasons: what is usual at this time of the day or week."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.health.detect.streams.ring import Ring
from services.health.detect.streams.robust import RobustZ


@dataclass
class HoltWinters:
    """Additive Holt-Winters smoothing (Winters, Management Science 1960); says nothing in the first two periods.

    Started as in Hyndman and Athanasopoulos, Forecasting, 3rd ed., 8.3: level and trend from the means of the first two
    periods, season from what is left. Errors are judged by a robust z of those of one period.
    """

    period: int
    level_share: float = 0.1
    trend_share: float = 0.005
    season_share: float = 0.1
    limit: float = 6.0
    floor: float = 1e-9
    level: float = 0.0
    trend: float = 0.0
    season: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    step: int = 0
    first: Ring = field(default_factory=lambda: Ring(2))
    errors: RobustZ = field(default_factory=RobustZ)

    def __post_init__(self) -> None:
        self.first = Ring(2 * self.period)
        self.errors = RobustZ(self.period, self.limit, self.floor)

    @property
    def expected(self) -> float:
        """The next value; NaN in the first two periods."""
        if not len(self.season):
            return math.nan
        return self.level + self.trend + float(self.season[self.step % self.period])

    def update(self, value: float) -> float:
        """How odd the error of the forecast is. A missing value is taken to be as expected."""
        expected = self.expected
        if math.isnan(expected):
            if math.isfinite(value):
                self._start(value)
            return 0.0
        if not math.isfinite(value):
            self.level, self.step = self.level + self.trend, self.step + 1
            return 0.0
        odd = self.errors.update(value - expected)
        place, before = self.step % self.period, self.level
        season = float(self.season[place])
        self.level = self.level_share * (value - season) + (1.0 - self.level_share) * (before + self.trend)
        # The season learns from the level before this value, as Winters wrote it.
        self.season[place] = self.season_share * (value - before - self.trend) + (1.0 - self.season_share) * season
        self.trend = self.trend_share * (self.level - before) + (1.0 - self.trend_share) * self.trend
        self.step += 1
        return odd

    def _start(self, value: float) -> None:
        self.first.push(value)
        if len(self.first) < 2 * self.period:
            return
        one, two = self.first.values[: self.period], self.first.values[self.period :]
        self.trend = float(two.mean() - one.mean()) / self.period
        middle = (self.period - 1) / 2.0
        slope = self.trend * (np.arange(self.period) - middle)
        self.season = (one - one.mean() - slope + two - two.mean() - slope) / 2.0
        self.level = float(two.mean()) + self.trend * middle
        self.first = Ring(2 * self.period)


@dataclass
class SamePhase:
    """Expects the value of one period ago (same time last week); needs two, as the error has a usual size."""

    period: int
    limit: float = 6.0
    floor: float = 1e-9
    past: Ring = field(default_factory=lambda: Ring(1))
    errors: RobustZ = field(default_factory=RobustZ)

    def __post_init__(self) -> None:
        self.past = Ring(self.period)
        self.errors = RobustZ(self.period, self.limit, self.floor, warm_up=self.period)

    @property
    def expected(self) -> float:
        """The value one period ago; NaN in the first period."""
        return float(self.past.values[0]) if len(self.past) == self.period else math.nan

    def update(self, value: float) -> float:
        """How odd the difference is. A missing value is taken to be as expected."""
        expected = self.expected
        if not math.isfinite(value):
            if math.isfinite(expected):
                self.past.push(expected)
            return 0.0
        self.past.push(value)
        return 0.0 if math.isnan(expected) else self.errors.update(value - expected)
