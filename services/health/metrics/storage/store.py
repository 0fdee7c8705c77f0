"""Keeps measurements: the last hours as they were taken, in memory and in files, and weeks at one sample a minute.

Files outlive the process. What was measured within the last second or so before a kill -9 is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lepton_ai.mesh.loops import run_loop
from services.health.metrics.series import STALE, Exemplar, Matcher, Series
from services.health.metrics.storage.columns import Column, Columns, Pairs
from services.health.metrics.storage.files import Files
from services.health.metrics.storage.segment import Segment
from services.health.metrics.storage.selection import Selection

T = TypeVar("T")
_HOUR_S = 3600.0
_WRITE_INTERVAL_S = 1.0
_CLOSE_TIMEOUT_S = 3.0
OUT_OF_ORDER, TOO_MANY, LOST = "out_of_order", "too_many_series", "disk"
"""Why samples were not kept: the clock went back, `max_series`, the disk did not take them."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """What a store may take."""

    hours: float = 6.0
    """As measured."""
    weeks: float = 4.0
    """At one sample a minute."""
    max_bytes: int = 512 << 20
    """On disk."""
    max_series: int = 50_000
    """At once."""


class MetricStore:
    """A SeriesReader. Runs from `start()` to `close()`; use it from one event loop."""

    def __init__(self, directory: Path, bounds: Bounds) -> None:
        self.missed: Counter[str] = Counter()
        """Samples that were not kept, by OUT_OF_ORDER, TOO_MANY or LOST."""
        self._files = Files(directory, weeks=bounds.weeks, max_bytes=bounds.max_bytes)
        self._bounds = bounds
        self._disk = ThreadPoolExecutor(1, "metrics-disk")
        self._segments: list[Segment] = []
        """The oldest first; the last one is open."""
        self._open: set[Columns] = set()
        self._last_s: dict[Pairs, float] = {}
        self._exemplars: dict[Pairs, Exemplar] = {}
        self._series = 0
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what earlier processes kept. Raises FailedPrecondition when the folder cannot be used."""
        self._segments = await self._on_disk(self._files.load)
        for segment in self._segments:
            for columns, track in segment.tracks.items():
                key = _key(columns.common)
                self._last_s[key] = max(self._last_s.get(key, 0.0), track.end_s)
        self._segments.append(self._files.begin())
        self._loop = run_loop(self._keep_writing, name="write measurements")

    async def close(self) -> None:
        """Write out what waits, unless the disk hangs. A second call does nothing."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        loop.cancel()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.wait([loop])
                await self._write_out()
                await self._on_disk(self._files.close)
        except TimeoutError:
            _log.warning("the disk does not answer: the last measurements are lost")
        self._disk.shutdown(wait=False, cancel_futures=True)

    @property
    def series_count(self) -> int:
        """Series that are being measured now."""
        return self._series

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return self._files.size_bytes

    def open(self, common: Mapping[str, str]) -> Columns:
        """Columns for a target whose series all have these labels, until they are released."""
        columns = Columns(common)
        self._open.add(columns)
        return columns

    def admit(
        self, columns: Columns, labels: Mapping[str, str], *, is_counter: bool = False, always: bool = False
    ) -> int:
        """The place of a new series in the rows of its target; -1 when there are too many, unless it is `always`."""
        if self._series >= self._bounds.max_series and not always:
            if not self.missed[TOO_MANY]:
                _log.warning("there are too many series; new ones are refused", extra={"series": self._series})
            return -1
        self._series += 1
        pairs = tuple(sorted({**labels, **columns.common}.items()))
        return columns.add(Column(pairs, is_counter))

    def append(self, columns: Columns, time_s: float, values: NDArray[np.float64]) -> bool:
        """Keep a row. False when there is a later one of the target already: then the clock has gone back."""
        key = _key(columns.common)
        if time_s <= self._last_s.get(key, 0.0):
            if not self.missed[OUT_OF_ORDER]:
                _log.warning("the clock went back: what is measured is dropped until it is where it was")
            self.missed[OUT_OF_ORDER] += len(values)
            return False
        self._last_s[key] = time_s
        segment = self._segments[-1]
        if self._files.is_full or (segment.tracks and time_s // _HOUR_S != segment.start_s // _HOUR_S):
            segment = self._roll()
        segment.track(columns).append(time_s, values)
        if not self._files.append(columns, time_s, values):
            self.missed[LOST] += len(values)
        return True

    def release(self, columns: Columns, time_s: float) -> None:
        """The target is no longer measured: its series end at this time."""
        if columns in self._open:
            self._open.remove(columns)
            self._series -= len(columns)
            self.append(columns, time_s, np.full(len(columns), STALE))
            for column in columns.columns:
                self._exemplars.pop(column.pairs, None)

    def replace(self, columns: Columns) -> Columns:
        """New columns for the same target, without those that have ended. What is known of the others stays."""
        self._open.remove(columns)
        self._series -= len(columns)
        return self.open(columns.common)

    def note_exemplar(self, columns: Columns, place: int, exemplar: Exemplar) -> None:
        """Remember the newest exemplar of a series, in memory only."""
        pairs = columns.columns[place].pairs
        if pairs not in self._exemplars and len(self._exemplars) >= self._bounds.max_series:
            self._exemplars.pop(next(iter(self._exemplars)))
        self._exemplars[pairs] = exemplar

    def exemplars(self, matchers: Sequence[Matcher]) -> list[tuple[Mapping[str, str], Exemplar]]:
        """The newest exemplars of the series that all matchers mean. Raises InvalidInput for a broken expression."""
        labelled = ((dict(pairs), exemplar) for pairs, exemplar in self._exemplars.items())
        return [(labels, each) for labels, each in labelled if all(matcher.matches(labels) for matcher in matchers)]

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        """See SeriesReader. Raises ResourceExhausted when it is too much for one answer, InvalidInput."""
        selection = Selection(start_s, end_s)
        recent_s = min((segment.start_s for segment in self._segments), default=float("inf"))
        views = [
            track.snapshot(start_s, end_s)
            for segment in self._segments
            for track in segment.tracks.values()
            if not track.is_empty and track.end_s > start_s and track.start_s <= end_s
        ]
        if start_s < recent_s:
            end_of_old_s = min(end_s, float(np.nextafter(recent_s, 0.0)))
            await self._on_disk(partial(self._files.read_old, selection, matchers, start_s, end_of_old_s))
        await asyncio.to_thread(selection.add_views, views, matchers)
        return await asyncio.to_thread(selection.series)

    async def series(self, matchers: Sequence[Matcher] = ()) -> Sequence[Mapping[str, str]]:
        """The labels of the series of the last hours that all matchers mean. Raises InvalidInput."""
        every = [columns for segment in self._segments for columns in segment.tracks]

        def find() -> list[Mapping[str, str]]:
            found = {columns.columns[place].pairs for columns in every for place in columns.find(matchers)}
            return [dict(pairs) for pairs in found]

        return await asyncio.to_thread(find)

    async def label_values(self, label: str) -> Sequence[str]:
        """The values that a label has in the series of the last hours, sorted."""
        return sorted({labels[label] for labels in await self.series() if label in labels})

    def _roll(self) -> Segment:
        ended = self._segments[-1]
        ended.seal()
        segment = self._files.begin()
        self._segments.append(segment)
        return segment

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_INTERVAL_S)
            await self._write_out()

    async def _write_out(self) -> None:
        newest_s = max(self._last_s.values(), default=0.0)
        oldest_s = newest_s - self._bounds.hours * _HOUR_S
        gone = [each for each in self._segments[:-1] if each.end_s < oldest_s]
        ended = [each for each in self._segments[:-1] if each not in gone]
        content = self._files.take()
        work = partial(self._files.work, content, ended, gone, newest_s)
        too_much = await self._on_disk(work)
        gone += ended[:too_much]
        if gone:
            self._segments = [each for each in self._segments if each not in gone]
            kept = {_key(columns.common) for segment in self._segments for columns in segment.tracks}
            self._last_s = {key: last_s for key, last_s in self._last_s.items() if key in kept}

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


def _key(common: Mapping[str, str]) -> Pairs:
    return tuple(sorted(common.items()))
