"""How often each label was given, for a bounded number of labels by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

MAX_LABELS = 256


class LabelCounts:
    """Answers by label; those of labels that have no place any more are counted together.

    Labels get their places in the order they come in, and keep them, so that an earlier state can be subtracted.
    """

    __slots__ = ("by_label", "rest")

    def __init__(self, by_label: Mapping[str, int] | None = None, rest: int = 0) -> None:
        self.by_label = Counter(dict(by_label or {}))
        self.rest = rest
        """Answers whose label has no place."""

    def add(self, label: str) -> None:
        """Count one answer."""
        if label in self.by_label or len(self.by_label) < MAX_LABELS:
            self.by_label[label] += 1
        else:
            self.rest += 1

    @property
    def count(self) -> int:
        """All answers together."""
        return sum(self.by_label.values()) + self.rest

    def halved(self) -> LabelCounts:
        """Half of everything, rounded down."""
        return LabelCounts({label: count // 2 for label, count in self.by_label.items() if count > 1}, self.rest // 2)

    def __add__(self, other: LabelCounts) -> LabelCounts:
        """Both together: the most frequent labels by name, the rest together."""
        together = self.by_label + other.by_label
        kept = dict(together.most_common(MAX_LABELS) if len(together) > MAX_LABELS else together)
        return LabelCounts(kept, self.rest + other.rest + together.total() - sum(kept.values()))

    def __sub__(self, earlier: LabelCounts) -> LabelCounts:
        """What came since an earlier state of the same counts."""
        since = self.by_label - earlier.by_label
        return LabelCounts(since, max(self.count - earlier.count - since.total(), 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelCounts) and (self.by_label, self.rest) == (other.by_label, other.rest)

    def __repr__(self) -> str:
        return f"LabelCounts({dict(self.by_label)}, rest={self.rest})"

    __hash__ = None  # type: ignore[assignment] # it changes
