"""The bins of one feature: chosen from the values of a reference, then kept, so that later values can be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np

from lepton_ai.inputs.counts import FeatureCounts, FeatureKind

MISSING = "missing"
_QUANTILES = 20
_NAMED, _FREQUENT = 20, 0.005
"""Categories with bins of their own: the most frequent ones, that half a percent of the rows have."""
_PARTS = 10
"""Bins of all other categories, by their hash: a bin for each of them would be chance."""


@dataclass(frozen=True)
class Bins:
    """Numbers: missing, below the least value, up to every edge, above the greatest one. Categories: missing, the named
    ones, all others."""

    kind: FeatureKind
    edges: tuple[float, ...] = ()
    """Of numbers, ascending: the upper ends of bins. The first lies just below the least value of the reference."""
    is_exact: bool = False
    """Whether the reference has so few values that each has a bin of its own."""
    names: tuple[str, ...] = ()
    """Of categories, sorted."""
    parts: int = 1
    """Bins of the other categories."""

    @classmethod
    def of(cls, counts: FeatureCounts) -> Bins:
        """Numbers: 20 bins with about equal counts, or one for each of up to 20 values. Categories: frequent ones."""
        if counts.kind == "number":
            return _bins_of_numbers(counts)
        frequent = counts.categories.most_common(_NAMED)
        names = [name for name, count in frequent if count >= _FREQUENT * counts.count]
        has_others = len(names) < len(counts.categories)
        return cls("category", names=tuple(sorted(names)), parts=_PARTS if has_others else 1)

    def __len__(self) -> int:
        return 1 + len(self.names) + self.parts if self.kind == "category" else 2 + len(self.edges)

    def place(self, counts: FeatureCounts) -> list[int]:
        """How many rows fall into each bin. Those of a feature of another kind fall into none."""
        placed = [0] * len(self)
        if counts.kind != self.kind:
            return placed
        placed[0] = counts.missing
        known = {name: place for place, name in enumerate(self.names, start=1)}
        for name, count in counts.categories.items():
            place = known.get(name)
            placed[1 + len(known) + crc32(name.encode()) % self.parts if place is None else place] += count
        if counts.numbers:
            places = np.searchsorted(self.edges, np.fromiter(counts.numbers, float), side="left")
            for place, count in zip(places.tolist(), counts.numbers.values(), strict=True):
                placed[1 + place] += count
        return placed

    def labels(self) -> list[str]:
        """What each bin holds, for people."""
        if self.kind == "category":
            others = ["others"] if self.parts == 1 else [f"others, part {part}" for part in range(1, self.parts + 1)]
            return [MISSING, *self.names, *others]
        if not self.edges:
            return [MISSING, "any number"]
        least = math.nextafter(self.edges[0], math.inf) + 0.0  # never -0
        ends = [f"{edge:.4g}" for edge in (least, *self.edges[1:])]
        inner = [high if self.is_exact or low == high else f"{low} … {high}" for low, high in pairwise(ends)]
        return [MISSING, f"< {ends[0]}", *inner, f"> {ends[-1]}"]


def _bins_of_numbers(counts: FeatureCounts) -> Bins:
    values = sorted(counts.numbers)
    if not values:
        return Bins("number")
    below = math.nextafter(values[0], -math.inf)
    if len(values) <= _QUANTILES:
        return Bins("number", edges=(below, *values), is_exact=True)
    reached = np.cumsum([counts.numbers[value] for value in values])
    wanted = np.linspace(0.0, 1.0, _QUANTILES + 1)[1:-1] * reached[-1]
    inner = {values[place] for place in np.searchsorted(reached, wanted).tolist()}
    return Bins("number", edges=(below, *sorted({*inner, values[-1]})))
