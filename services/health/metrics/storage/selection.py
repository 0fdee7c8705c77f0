"""Puts the series of a query together from the parts in which they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_ai.errors import ResourceExhausted
from services.health.metrics.series import Matcher, Series, is_stale
from services.health.metrics.storage.columns import Pairs
from services.health.metrics.storage.segment import Part, TrackView

_MAX_SAMPLES = 10_000_000
"""In one answer: 160 MB."""


class Selection:
    """Collects parts in start_s < time ≤ end_s, the oldest first, and makes series of them."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self._start_s = start_s
        self._end_s = end_s
        self._parts: dict[Pairs, list[Part]] = {}
        self._samples = 0

    def add(
        self,
        pairs: Sequence[Pairs],
        times_s: NDArray[np.float64],
        values: NDArray[np.float64],
        end_s: float = float("inf"),
    ) -> None:
        """A part of these series, up to `end_s`: times [n], values [series, n].

        Raises ResourceExhausted when it gets too much.
        """
        begin = int(np.searchsorted(times_s, self._start_s, "right"))
        end = int(np.searchsorted(times_s, min(end_s, self._end_s), "right"))
        if begin >= end:
            return
        self._samples += (end - begin) * len(pairs)
        if self._samples > _MAX_SAMPLES:
            raise ResourceExhausted(
                f"The query reads more than {_MAX_SAMPLES:,} samples.",
                reason="TOO_MANY_SAMPLES",
                fix="Ask for fewer series or a shorter time.",
            )
        cut = times_s[begin:end]
        for index, each in enumerate(pairs):
            self._parts.setdefault(each, []).append((cut, values[index, begin:end]))

    def add_views(self, views: Iterable[TrackView], matchers: Sequence[Matcher]) -> None:
        """What tracks hold of the series that all matchers mean."""
        for view in views:
            places = view.columns.find(matchers)
            if places:
                pairs = [view.columns.columns[place].pairs for place in places]
                for times_s, values in view.read(places):
                    self.add(pairs, times_s, values)

    def series(self) -> list[Series]:
        """All that have samples."""
        made = (_series(pairs, parts) for pairs, parts in self._parts.items())
        return [each for each in made if len(each.times_s)]


def _series(pairs: Pairs, parts: list[Part]) -> Series:
    times_s = parts[0][0] if len(parts) == 1 else np.concatenate([times for times, _ in parts])
    values = parts[0][1] if len(parts) == 1 else np.concatenate([values for _, values in parts])
    if len(parts) > 1 and not (np.diff(times_s) > 0).all():  # two targets that call themselves the same
        times_s, order = np.unique(times_s, return_index=True)
        values = values[order]
    ended = is_stale(values)
    if ended.any():  # a series that stays away has a mark in every row; the first is enough
        kept = ~ended | (np.append(True, ended[:-1]) < ended)
        times_s, values = times_s[kept], values[kept]
    return Series(dict(pairs), times_s, values)
