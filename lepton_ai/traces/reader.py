"""The read side of the trace store: takes exports out of the database and picks the spans that are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from lepton_ai.traces.database import connect
from lepton_ai.traces.directory import TraceDirectory
from lepton_ai.traces.stored import StoredSpan, stored_spans


class TraceReader:
    """Safe to use from several threads, one query at a time; it never holds the writer up."""

    def __init__(self, path: Path, directory: TraceDirectory) -> None:
        """Read the database of a store that is open, with the directory of that store."""
        self.directory = directory
        self._connection = connect(path)
        self._connection.execute("PRAGMA query_only = ON")
        self._lock = threading.Lock()

    def query(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[object, ...]]:
        """All rows of one SELECT."""
        with self._lock, closing(self._connection.execute(sql, tuple(parameters))) as cursor:
            return cursor.fetchall()

    def export(self, export_id: int) -> Iterator[StoredSpan] | None:
        """The spans of one export, also of traces that are gone; None when it is not here (any more)."""
        with (
            self._lock,
            closing(
                self._connection.execute("SELECT encoding, body FROM exports WHERE id = ?", (export_id,))
            ) as cursor,
        ):
            row = cursor.fetchone()
        return stored_spans(*row) if row is not None else None

    def traces(self, trace_ids: Iterable[bytes]) -> dict[bytes, list[StoredSpan]]:
        """The spans of these traces by start time, each span once; traces that are not here (any more) are left out."""
        found: dict[bytes, dict[bytes, StoredSpan]] = {}
        wanted: dict[int, set[bytes]] = {}
        for trace_id in trace_ids:
            for export_id in self.directory.exports_of(trace_id):
                found.setdefault(trace_id, {})
                wanted.setdefault(export_id, set()).add(trace_id)
        for export_id in sorted(wanted):
            spans = self.export(export_id)
            if spans is None:  # all of its traces were dropped meanwhile
                for trace_id in wanted[export_id]:
                    found.pop(trace_id, None)
                continue
            for span in spans:
                if (trace_id := span.trace_id) in wanted[export_id] and trace_id in found:
                    found[trace_id].setdefault(span.span_id, span)
        return {trace_id: sorted(spans.values(), key=_by_start) for trace_id, spans in found.items()}

    def trace(self, trace_id: bytes) -> list[StoredSpan]:
        """The spans of one trace by start time; empty when it is not here (any more)."""
        return self.traces([trace_id]).get(trace_id, [])

    def close(self) -> None:
        """Close the database; waits for a query that is under way."""
        with self._lock:
            self._connection.close()


def _by_start(span: StoredSpan) -> tuple[int, bytes]:
    return span.start_ns // 1000, span.span_id
