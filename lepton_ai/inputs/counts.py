"""How often which value of every feature came, in a form that can be added over replicas and over time.

Numbers are rounded to about four digits and categories are cut, so that rows become counts; no row can be put together
again from them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

FeatureKind = Literal["number", "category"]
Value = float | str | None
Feature = tuple[str, FeatureKind, Value]
"""Name, kind, and the value in one row; None when it is missing."""

MAX_FEATURES = 300
"""Of one model; those that come first."""
MAX_NAME_CHARS = 128
"""Of a feature."""
_MAX_CATEGORY_CHARS = 64
_MANTISSA = 1 << 13
_GREATEST = 1e300


def rounded(number: float) -> float:
    """The number within 0.013 % of it; at most 1e300 on either side."""
    number = min(max(number, -_GREATEST), _GREATEST)
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * _MANTISSA) / _MANTISSA, exponent)


@dataclass
class FeatureCounts:
    """Counts of one feature's values."""

    kind: FeatureKind
    numbers: Counter[float] = field(default_factory=Counter)
    """Rounded number → rows with it; of features that are numbers."""
    categories: Counter[str] = field(default_factory=Counter)
    """Category → rows with it; of features that are categories."""
    missing: int = 0
    """Rows without a value, or with one that is not finite."""

    def add(self, value: Value) -> None:
        """Count the value of one row."""
        if self.kind == "category" and isinstance(value, str):
            self.categories[value[:_MAX_CATEGORY_CHARS]] += 1
        elif self.kind == "number" and isinstance(value, float) and math.isfinite(value):
            self.numbers[rounded(value)] += 1
        else:
            self.missing += 1

    @property
    def count(self) -> int:
        """All rows together."""
        return self.numbers.total() + self.categories.total() + self.missing

    def __add__(self, other: FeatureCounts) -> FeatureCounts:
        """Both together. Those of another kind cannot be added: they are left out."""
        if other.kind != self.kind:
            return self
        return FeatureCounts(
            self.kind,
            self.numbers + other.numbers,
            self.categories + other.categories,
            self.missing + other.missing,
        )


@dataclass
class InputCounts:
    """Counts of all features of a model's inputs."""

    features: dict[str, FeatureCounts] = field(default_factory=dict)
    rows: int = 0

    def add(self, row: Iterable[Feature]) -> None:
        """Count one row."""
        self.rows += 1
        for name, kind, value in row:
            counts = self.features.get(name)
            if counts is None:
                if len(self.features) >= MAX_FEATURES:
                    continue
                counts = self.features[name] = FeatureCounts(kind)
            counts.add(value)

    def __add__(self, other: InputCounts) -> InputCounts:
        """Both together."""
        together = dict(self.features)
        for name, counts in other.features.items():
            if name in together:
                together[name] = together[name] + counts
            elif len(together) < MAX_FEATURES:
                together[name] = counts
        return InputCounts(together, self.rows + other.rows)
