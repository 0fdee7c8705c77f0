"""The series of one target, as the columns of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.health.metrics.series import NAME, Matcher

Pairs = tuple[tuple[str, str], ...]
"""Labels, sorted by name: the identity of a series."""


class Column(NamedTuple):
    """One series."""

    pairs: Pairs
    is_counter: bool


class Columns:
    """Grows only at its end, so that rows of different lengths belong to the same columns."""

    def __init__(self, common: Mapping[str, str]) -> None:
        """`common`: labels that all of them have."""
        self.common = dict(common)
        self.columns: list[Column] = []
        self._by_name: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.columns)

    def add(self, column: Column) -> int:
        """The place of a new column."""
        place = len(self.columns)
        self.columns.append(column)
        name = next((value for label, value in column.pairs if label == NAME), "")
        self._by_name.setdefault(name, []).append(place)
        return place

    def find(self, matchers: Sequence[Matcher]) -> list[int]:
        """The places of the series that all matchers mean. Raises InvalidInput for a broken expression."""
        if not all(each.matches(self.common) for each in matchers if each.label in self.common):
            return []
        left = [each for each in matchers if each.label not in self.common]
        named = next((each for each in left if each.label == NAME and each.op == "="), None)
        if named is None:
            places = list(range(len(self.columns)))
        else:
            places = list(self._by_name.get(named.value, ()))
            left.remove(named)
        for matcher in left:
            places = self._keep(places, matcher)
        return places

    def _keep(self, places: list[int], matcher: Matcher) -> list[int]:
        known: dict[str, bool] = {}
        kept = []
        for place in places:
            value = next((value for label, value in self.columns[place].pairs if label == matcher.label), "")
            if value not in known:
                known[value] = matcher.matches({matcher.label: value})
            if known[value]:
                kept.append(place)
        return kept
