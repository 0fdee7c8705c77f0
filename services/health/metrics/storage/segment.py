"""About an hour of measurements in memory: for each target its rows, packed as soon as there are enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import STALE
from services.health.metrics.storage.chunk import Chunk, pack
from services.health.metrics.storage.columns import Columns

_ROWS = 120
"""Rows that are packed together: ten minutes at five seconds."""

Part = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Times [n] and values [columns, n]."""


class Track:
    """The rows of one target, the oldest first. What was read of it once never changes."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.chunks: list[Chunk] = []
        self._times_s = np.empty(_ROWS)
        self._rows = np.empty((_ROWS, 0))
        self._count = 0

    @property
    def is_empty(self) -> bool:
        return not self.chunks and not self._count

    @property
    def start_s(self) -> float:
        return self.chunks[0].start_s if self.chunks else float(self._times_s[0])

    @property
    def end_s(self) -> float:
        return float(self._times_s[self._count - 1]) if self._count else self.chunks[-1].end_s

    @property
    def size_bytes(self) -> int:
        """The memory that its rows take."""
        return sum(chunk.size_bytes for chunk in self.chunks) + self._rows.nbytes

    def append(self, time_s: float, values: NDArray[np.float64]) -> None:
        """A row of as many values as there are columns, or fewer. Times must grow."""
        if self._count == _ROWS:
            self.seal()
        width = self._rows.shape[1]
        if len(values) > width:  # a new array: readers keep the old one
            rows = np.full((_ROWS, max(len(values), len(self.columns))), STALE)
            rows[: self._count, :width] = self._rows[: self._count]
            self._rows = rows
        self._rows[self._count, : len(values)] = values
        self._rows[self._count, len(values) :] = STALE
        self._times_s[self._count] = time_s
        self._count += 1

    def seal(self) -> None:
        """Pack the rows that are not yet packed."""
        if self._count:
            self.chunks.append(pack(self._times_s[: self._count], self._rows[: self._count]))
            self._times_s, self._count = np.empty(_ROWS), 0
            self._rows = np.empty((_ROWS, self._rows.shape[1]))

    def snapshot(self, start_s: float, end_s: float) -> TrackView:
        """What there is in start_s < time ≤ end_s, and perhaps a little more, for any thread to read."""
        chunks = [chunk for chunk in self.chunks if chunk.end_s > start_s and chunk.start_s <= end_s]
        return TrackView(self.columns, chunks, self._times_s, self._rows, self._count)


@dataclass(frozen=True)
class TrackView:
    """A track as it was at one moment."""

    columns: Columns
    chunks: Sequence[Chunk]
    _times_s: NDArray[np.float64]
    _rows: NDArray[np.float64]
    _count: int

    def read(self, places: Sequence[int]) -> Iterator[Part]:
        """These columns, the oldest part first."""
        for chunk in self.chunks:
            yield chunk.times_s, chunk.read(places)
        if self._count:
            yield self._times_s[: self._count], self._read_open(places)

    def _read_open(self, places: Sequence[int]) -> NDArray[np.float64]:
        values = np.full((len(places), self._count), STALE)
        known = [index for index, place in enumerate(places) if place < self._rows.shape[1]]
        values[known] = self._rows[: self._count, [places[index] for index in known]].T
        return values


@dataclass
class Segment:
    """What one file holds."""

    path: Path
    tracks: dict[Columns, Track] = field(default_factory=dict)

    def track(self, columns: Columns) -> Track:
        """The track of these columns; it is made when there is none."""
        if columns not in self.tracks:
            self.tracks[columns] = Track(columns)
        return self.tracks[columns]

    @property
    def end_s(self) -> float:
        """The time of the last row; 0 without any."""
        return max((track.end_s for track in self.tracks.values() if not track.is_empty), default=0.0)

    @property
    def start_s(self) -> float:
        return min((track.start_s for track in self.tracks.values() if not track.is_empty), default=float("inf"))

    def seal(self) -> None:
        """Pack all rows."""
        for track in self.tracks.values():
            track.seal()
