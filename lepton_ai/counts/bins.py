"""A histogram of scores in fixed bins, so that those of all replicas can be added."""

from __future__ import annotations

from collections.abc import Sequence

BINS = 20
"""Of equal width from 0 to 1; what lies outside is in the outermost ones."""


class ScoreBins:
    """How many scores fell into each bin."""

    __slots__ = ("bins",)

    def __init__(self, bins: Sequence[int] | None = None) -> None:
        self.bins = list(bins) if bins else [0] * BINS

    def add(self, score: float) -> None:
        """Count one score; not a number is in the lowest bin."""
        position = int(score * BINS) if 0.0 < score < 1.0 else (BINS - 1 if score >= 1.0 else 0)
        self.bins[position] += 1

    @property
    def count(self) -> int:
        """All scores together."""
        return sum(self.bins)

    def halved(self) -> ScoreBins:
        """Half of everything, rounded down."""
        return ScoreBins([count // 2 for count in self.bins])

    def __add__(self, other: ScoreBins) -> ScoreBins:
        """Both together."""
        return ScoreBins([a + b for a, b in zip(self.bins, other.bins, strict=True)])

    def __sub__(self, earlier: ScoreBins) -> ScoreBins:
        """What came since an earlier state of the same histogram."""
        return ScoreBins([max(a - b, 0) for a, b in zip(self.bins, earlier.bins, strict=True)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScoreBins) and self.bins == other.bins

    def __repr__(self) -> str:
        return f"ScoreBins({self.bins})"

    __hash__ = None  # type: ignore[assignment] # it changes
