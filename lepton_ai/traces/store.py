"""Exports in SQLite: written as they came by one writer, bounded by forgetting whole old traces."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.traces.database import open_database
from lepton_ai.traces.directory import Evicted, Floor, TraceDirectory
from lepton_ai.traces.exports import Export, Extent, without_excess

_TRACE = struct.Struct("<16sI?")
"""Noted beside an export: a trace id, its number of spans, and whether the trace begins here (or begins again)."""


@dataclass(frozen=True)
class Written:
    """What a write did: spans that are kept now, and spans refused because their trace is full."""

    stored: int
    over_limit: int


class TraceStore:
    """The write side of the database; use it from one thread. Survives being killed at any point.

    A trace that makes room for others is gone at once; the exports that have no other trace are deleted with the next
    write. Until then, after a kill, it is told apart by the floor: traces go strictly in the order of their arrival.
    """

    def __init__(self, path: Path, *, max_spans: int, max_stored_bytes: int, max_trace_spans: int) -> None:
        """Open or make the database at `path`; one made by another version, or broken, is replaced by an empty one."""
        self._max_trace_spans = min(max_trace_spans, max_spans)
        self._connection = open_database(path)
        self.directory = TraceDirectory(max_spans=max_spans, max_bytes=max_stored_bytes)
        self._gone: list[int] = []
        """Exports to delete with the next write."""
        self._next_id = 1
        self._floor: Floor = self._connection.execute("SELECT export_id, place FROM floor").fetchone()
        self._written_floor = self._floor
        self._read_directory()

    @property
    def spans(self) -> int:
        """How many spans are stored."""
        return self.directory.spans

    def write(self, export: Export) -> Written:
        """Store one export; see `write_all`."""
        return self.write_all([export])[0]

    def write_all(self, exports: Sequence[Export]) -> list[Written]:
        """Store several exports in one transaction and drop the oldest traces beyond the bound.

        A span that is there already (a re-delivery) is kept and counted again, and shown once. Raises sqlite3.Error
        with nothing changed.
        """
        kept, known = self._within_limit(exports)
        numbered = [(self._next_id + at, export) for at, export in enumerate(e for e in kept if e.traces)]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for export_id, export in numbered:
                self._insert(export_id, export, known)
            self._delete_gone()
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._gone.clear()
        self._written_floor = self._floor
        self._next_id += len(numbered)
        for export_id, export in numbered:
            self.directory.add(export_id, len(export.body), export.traces)
        self._note(self.directory.evict())
        return [Written(after.spans, before.spans - after.spans) for before, after in zip(exports, kept, strict=True)]

    def close(self) -> None:
        """Delete what is gone and close the database; the store cannot be used afterwards."""
        try:
            self.write_all([])
        finally:
            self._connection.close()

    def _read_directory(self) -> None:
        for export_id, size_bytes, packed in self._connection.execute(
            "SELECT id, length(body), traces FROM exports ORDER BY id"
        ):
            traces = list(_TRACE.iter_unpack(packed))
            for trace_id in (trace_id for trace_id, _, begins in traces if begins):
                self._gone.extend(self.directory.forget(trace_id))  # what is left of it from before it was dropped
            self.directory.add(export_id, size_bytes, {trace_id: spans for trace_id, spans, _ in traces})
            self._next_id = export_id + 1
        # An id is not given out again, or the floor would hide what gets it.
        self._next_id = max(self._next_id, self._floor[0] + 1)
        self._note(self.directory.evict(floor=self._floor))

    def _note(self, evicted: Evicted | None) -> None:
        if evicted is not None:
            self._gone.extend(evicted.exports)
            self._floor = evicted.floor

    def _within_limit(self, exports: Sequence[Export]) -> tuple[list[Export], set[bytes]]:
        """The exports without the spans that their traces have no room for, and the traces that are here already."""
        kept = []
        known: set[bytes] = set()
        added: Counter[bytes] = Counter()
        for export in exports:
            room = {}
            for trace_id, spans in export.traces.items():
                stored = self.directory.span_count(trace_id)
                if stored:
                    known.add(trace_id)
                if (left := self._max_trace_spans - stored - added[trace_id]) < spans:
                    room[trace_id] = left
            trimmed = without_excess(export, room) if room else export
            added.update(trimmed.traces)
            kept.append(trimmed)
        return kept, known

    def _insert(self, export_id: int, export: Export, known: set[bytes]) -> None:
        packed = b"".join([_TRACE.pack(trace, spans, trace not in known) for trace, spans in export.traces.items()])
        known.update(export.traces)
        self._connection.execute(
            "INSERT INTO exports VALUES (?, ?, ?, ?)", (export_id, export.encoding, packed, export.body)
        )
        self._connection.executemany(
            "INSERT INTO extents VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_extent_row(export_id, extent) for extent in export.extents],
        )

    def _delete_gone(self) -> None:
        if self._floor == self._written_floor and not self._gone:
            return
        ids = [(export_id,) for export_id in self._gone]
        self._connection.executemany("DELETE FROM exports WHERE id = ?", ids)
        self._connection.executemany("DELETE FROM extents WHERE export_id = ?", ids)
        self._connection.execute("UPDATE floor SET export_id = ?, place = ?", self._floor)


def _extent_row(export_id: int, extent: Extent) -> tuple[int | str, ...]:
    return (
        export_id,
        extent.service,
        json.dumps(sorted(extent.operations)),
        extent.earliest_us,
        extent.latest_us,
        extent.shortest_us,
        extent.longest_us,
    )
