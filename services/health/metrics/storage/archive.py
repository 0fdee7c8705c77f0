"""Measurements of weeks on disk: a file for each segment that has ended, at one row a minute, read when asked for."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import Matcher
from services.health.metrics.storage.block import BROKEN, Block, BlockTarget, write_block
from services.health.metrics.storage.columns import Columns, Pairs
from services.health.metrics.storage.minutes import by_minute
from services.health.metrics.storage.segment import Segment

ENDING = ".minutes"
_MOST_KNOWN = 256
"""Targets' columns that are kept in memory."""
_log = logging.getLogger(__name__)

Found = tuple[Sequence[Pairs], NDArray[np.float64], NDArray[np.float64]]
"""Series, times, and values [series, times]."""


class Archive:
    """The files of one folder. Use it from one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError when the folder cannot be read. Files that cannot be read are left out, and logged."""
        self._directory = directory
        self._blocks: dict[str, Block] = {}
        self._columns: OrderedDict[str, Columns] = OrderedDict()
        for path in sorted(directory.glob(f"*{ENDING}")):
            try:
                self._blocks[path.stem] = Block.open(path)
            except BROKEN as error:
                _warn(path, error)

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return sum(block.size_bytes for block in self._blocks.values())

    def holds(self, name: str) -> bool:
        """Whether the segment of this name has been kept."""
        return name in self._blocks

    def keep(self, segment: Segment) -> None:
        """Write a segment that has ended, whole or not at all. Raises OSError."""
        minutes = (by_minute(track) for track in segment.tracks.values() if not track.is_empty)
        path = self._directory / f"{segment.path.stem}{ENDING}"
        self._blocks[path.stem] = write_block(path, ((columns, [chunk]) for columns, chunk in minutes))

    def forget_before(self, time_s: float) -> None:
        """Delete what ended before. Raises OSError."""
        for block in [block for block in self._blocks.values() if block.end_s < time_s]:
            self._delete(block)

    def forget_oldest(self) -> bool:
        """Delete the oldest file; False without any. Raises OSError."""
        if not self._blocks:
            return False
        self._delete(min(self._blocks.values(), key=lambda block: block.start_s))
        return True

    def read(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Iterator[Found]:
        """The series that all matchers mean, of each the oldest part first."""
        for block in sorted(self._blocks.values(), key=lambda block: block.start_s):
            if block.end_s <= start_s or block.start_s > end_s:
                continue
            for target in block.targets:
                known = [each for each in matchers if each.label in target.common]
                if all(each.matches(target.common) for each in known):
                    yield from self._read_target(block, target, matchers)

    def _read_target(self, block: Block, target: BlockTarget, matchers: Sequence[Matcher]) -> Iterator[Found]:
        try:
            columns = self._columns_of(block, target)
            places = columns.find(matchers)
            chunks = block.chunks(target) if places else []
        except BROKEN as error:
            _warn(block.path, error)
            return
        for chunk in chunks:
            yield [columns.columns[place].pairs for place in places], chunk.times_s, chunk.read(places)

    def _columns_of(self, block: Block, target: BlockTarget) -> Columns:
        columns = self._columns.get(target.digest)
        if columns is None:
            columns = self._columns[target.digest] = block.columns(target, {})
            if len(self._columns) > _MOST_KNOWN:
                self._columns.popitem(last=False)
        self._columns.move_to_end(target.digest)
        return columns

    def _delete(self, block: Block) -> None:
        block.path.unlink(missing_ok=True)
        del self._blocks[block.path.stem]


def _warn(path: Path, error: BaseException) -> None:
    _log.warning("measurements cannot be read", extra={"file": path.name, "why": str(error)[:200]})
