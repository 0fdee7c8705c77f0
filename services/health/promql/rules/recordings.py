"""Series that rules record, in memory: other rules see it at once, also when the clock went back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from services.health.metrics.series import NAME, STALE, Matcher, Series, SeriesReader

Key: TypeAlias = tuple[tuple[str, str], ...]
"""All labels of a series, sorted."""


@dataclass
class _Track:
    labels: Mapping[str, str]
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class Recordings:
    """A SeriesReader of the last hours of recorded series."""

    def __init__(self, *, keep_s: float = 6 * 3600.0, max_series: int = 10_000) -> None:
        self._keep_s = keep_s
        self._max_series = max_series
        self._tracks: dict[Key, _Track] = {}

    def note(self, rule: Sequence[Key], found: Mapping[Key, float], now_s: float) -> Sequence[Key]:
        """Keep what a rule found; what it found the last time (`rule`) and not now ends. Returns what it found now."""
        for key in rule:
            if key not in found:
                self._append(key, now_s, float(STALE))
        for key, value in found.items():
            self._append(key, now_s, value)
        return tuple(found)

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        """As SeriesReader has it."""
        names = {matcher.value for matcher in matchers if (matcher.label, matcher.op) == (NAME, "=")}
        found = []
        for track in self._tracks.values():
            labels = track.labels
            if names and labels.get(NAME) not in names:
                continue
            if all(matcher.matches(labels) for matcher in matchers):
                times_s = np.array(track.times_s)
                inside = (times_s > start_s) & (times_s <= end_s)
                if inside.any():
                    found.append(Series(labels, times_s[inside], np.array(track.values)[inside]))
        return found

    def _append(self, key: Key, at_s: float, value: float) -> None:
        track = self._tracks.get(key)
        if track is None:
            self._forget(at_s)
            if len(self._tracks) >= self._max_series:
                return  # the rule's own result is not lost, only its past
            track = self._tracks[key] = _Track(dict(key))
        while track.times_s and at_s <= track.times_s[-1]:  # the clock went back: what it said before is not so
            del track.times_s[-1], track.values[-1]
        track.times_s.append(at_s)
        track.values.append(value)
        if track.times_s[len(track.times_s) // 2] < at_s - self._keep_s:  # half of it is old
            old = sum(each < at_s - self._keep_s for each in track.times_s)
            del track.times_s[:old], track.values[:old]

    def _forget(self, now_s: float) -> None:
        ended = [key for key, track in self._tracks.items() if track.times_s[-1] < now_s - self._keep_s]
        for key in ended:
            del self._tracks[key]


@dataclass(frozen=True)
class RecordedReader:
    """A SeriesReader of what is measured and kept, and of what rules have just recorded, which goes before."""

    kept: SeriesReader
    recordings: Recordings

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        """What both have; of a series in both, what is kept of the time before the recordings begin."""
        kept = await self.kept.select(matchers, start_s, end_s)
        recorded = {_key(each.labels): each for each in await self.recordings.select(matchers, start_s, end_s)}
        if not recorded:
            return kept
        before = {key: each for each in kept if (key := _key(each.labels)) in recorded}
        others = [each for each in kept if _key(each.labels) not in recorded]
        return [*others, *(_continued(before.get(key), each) for key, each in recorded.items())]


def _key(labels: Mapping[str, str]) -> Key:
    return tuple(sorted(labels.items()))


def _continued(before: Series | None, recorded: Series) -> Series:
    if before is None:
        return recorded
    count = int(np.searchsorted(before.times_s, recorded.times_s[0]))
    times_s = np.concatenate([before.times_s[:count], recorded.times_s])
    return Series(recorded.labels, times_s, np.concatenate([before.values[:count], recorded.values]))
