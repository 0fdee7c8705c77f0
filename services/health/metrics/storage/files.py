"""The folder in which measurements outlive their process.

What is measured goes into a journal. When that has ended, its rows are packed into a block, which is read in a
fraction of the time, and by the minute into the archive.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_ai.errors import FailedPrecondition
from services.health.metrics.series import Matcher
from services.health.metrics.storage.archive import Archive
from services.health.metrics.storage.block import BROKEN, Block, write_block
from services.health.metrics.storage.columns import Columns, Pairs
from services.health.metrics.storage.journal import Journal, read_journal
from services.health.metrics.storage.segment import Segment
from services.health.metrics.storage.selection import Selection

JOURNAL, ROWS = ".log", ".rows"
_WEEK_S = 7 * 86400.0
_MAX_WAITING_BYTES = 32 << 20
"""What is measured while the disk hangs; more is kept in memory only."""
_TRY_AGAIN_S = 60.0
_log = logging.getLogger(__name__)

Content = Sequence[tuple[Journal, bytes]]


class Files:
    """`load`, `work`, `read_old` and `close` block: call them in one thread, all other methods in the event loop."""

    def __init__(self, directory: Path, *, weeks: float, max_bytes: int) -> None:
        self._directory = directory
        self._old_s = weeks * _WEEK_S
        self._max_bytes = max_bytes
        self._archive: Archive | None = None
        self._sizes: dict[Path, int] = {}
        """Of journals and blocks."""
        self._archived: set[str] = set()
        """Names of segments that need not be kept in the archive, as they were, even if they had to go since."""
        self._journal: Journal | None = None
        self._ended: list[Journal] = []
        self._next = 1
        self._refused_at: float | None = None
        """Monotonic time at which the disk refused to take something."""
        self._told = False

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return sum(self._sizes.values()) + (self._archive.size_bytes if self._archive is not None else 0)

    @property
    def is_full(self) -> bool:
        """Whether what comes next should begin a new journal."""
        if self._refused_at is not None:
            return time.monotonic() - self._refused_at > _TRY_AGAIN_S
        return self._journal is not None and self._sizes.get(self._journal.path, 0) > self._max_bytes / 4

    def load(self) -> list[Segment]:
        """What earlier processes kept of the last hours. Raises FailedPrecondition when the folder cannot be used."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for draft in self._directory.glob("*.new"):
                draft.unlink()
            self._archive = Archive(self._directory)
            numbers = {int(path.stem) for path in self._directory.glob("*.*") if path.stem.isdecimal()}
            self._next = 1 + max(numbers, default=0)
            known: dict[Pairs, Pairs] = {}
            found = [self._read(self._directory / f"{number:08d}{JOURNAL}", known) for number in sorted(numbers)]
            return [segment for segment in found if segment is not None]
        except OSError as error:
            raise FailedPrecondition(
                f"The folder of measurements cannot be used ({error.strerror}).",
                reason="DATA_DIR",
                fix="Set LEPTON_DATA_DIR to a folder that the health service may write to.",
            ) from error

    def begin(self) -> Segment:
        """A new segment, and a new journal for what comes next."""
        if self._journal is not None:
            self._ended.append(self._journal)
        self._refused_at = None
        path = self._directory / f"{self._next:08d}{JOURNAL}"
        self._next += 1
        self._journal = Journal(path)
        return Segment(path)

    def append(self, columns: Columns, time_s: float, values: NDArray[np.float64]) -> bool:
        """Have a row written soon. False when the disk does not take it."""
        journal = self._journal
        if journal is None or self._refused_at is not None or journal.waiting_bytes > _MAX_WAITING_BYTES:
            return False
        journal.append(columns, time_s, values)
        return True

    def take(self) -> Content:
        """What waits to be written."""
        journals, self._ended = [*self._ended], []
        if self._journal is not None:
            journals.append(self._journal)
        return [(journal, journal.take()) for journal in journals]

    def work(self, content: Content, ended: Sequence[Segment], gone: Sequence[Segment], newest_s: float) -> int:
        """Write, keep what has ended in the archive, delete what is too old or too much.

        Returns how many of the ended segments had to go because files take too much. Never raises OSError: the disk is
        asked again later.
        """
        try:
            self._write(content)
            removed = self._tidy(ended, gone, newest_s)
        except OSError as error:
            self._refused_at = time.monotonic()
            if not self._told:
                _log.warning("measurements cannot be written; they are kept in memory", extra={"why": error.strerror})
            self._told = True
            return 0
        self._told = False
        return removed

    def close(self) -> None:
        """Close the journals. May block."""
        for journal in (*self._ended, self._journal):
            if journal is not None:
                journal.close()

    def read_old(self, selection: Selection, matchers: Sequence[Matcher], start_s: float, end_s: float) -> None:
        """Add what the archive holds. Raises ResourceExhausted, InvalidInput."""
        if self._archive is None:
            return
        for pairs, times_s, values in self._archive.read(matchers, start_s, end_s):
            selection.add(pairs, times_s, values, end_s)

    def _read(self, journal: Path, known: dict[Pairs, Pairs]) -> Segment | None:
        """The segment of which this is, or was, the journal."""
        block = journal.with_suffix(ROWS)
        if block.exists():
            journal.unlink(missing_ok=True)
            try:
                self._sizes[block] = block.stat().st_size
                return _read_block(Block.open(block), journal, known)
            except BROKEN as error:
                _log.warning("measurements cannot be read", extra={"file": block.name, "why": str(error)[:200]})
                return None
        if not journal.exists():
            return None
        segment = read_journal(journal, known)
        if not segment.end_s:
            journal.unlink()
            return None
        segment.seal()
        self._sizes[journal] = journal.stat().st_size
        return segment

    def _write(self, content: Content) -> None:
        try:
            for journal, waiting in content:
                if waiting and self._refused_at is None:
                    journal.write_out(waiting)
                    self._sizes[journal.path] = self._sizes.get(journal.path, 0) + len(waiting)
        finally:
            for journal, _ in content:
                if journal is not self._journal:
                    journal.close()

    def _tidy(self, ended: Sequence[Segment], gone: Sequence[Segment], newest_s: float) -> int:
        assert self._archive is not None  # noqa: S101 - made by load(), which comes first
        for segment in (*gone, *ended):
            name = segment.path.stem
            if name in self._archived or segment.end_s < newest_s - self._old_s:
                continue
            if segment.end_s and not self._archive.holds(name):
                self._archive.keep(segment)
            self._archived.add(name)
        for segment in ended:
            self._pack(segment)
        for segment in gone:
            self._delete(segment)
        self._archive.forget_before(newest_s - self._old_s)
        removed = 0
        while self.size_bytes > self._max_bytes:
            if self._archive.forget_oldest():
                continue
            if removed == len(ended):
                break
            self._delete(ended[removed])
            removed += 1
        return removed

    def _pack(self, segment: Segment) -> None:
        """Put a block in the place of the segment's journal, if that is not done yet."""
        path = segment.path.with_suffix(ROWS)
        if path in self._sizes or not segment.end_s:
            return
        tracks = ((columns, track.chunks) for columns, track in segment.tracks.items() if track.chunks)
        self._sizes[path] = write_block(path, tracks).size_bytes
        segment.path.unlink(missing_ok=True)
        self._sizes.pop(segment.path, None)

    def _delete(self, segment: Segment) -> None:
        for path in (segment.path, segment.path.with_suffix(ROWS)):
            path.unlink(missing_ok=True)
            self._sizes.pop(path, None)
        self._archived.discard(segment.path.stem)


def _read_block(block: Block, journal: Path, known: dict[Pairs, Pairs]) -> Segment:
    segment = Segment(journal)
    for target in block.targets:
        segment.track(block.columns(target, known)).chunks.extend(block.chunks(target))
    return segment
