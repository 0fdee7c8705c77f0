"""Which traces are kept and in which exports each has spans: in memory, bounded, the least recently heard of go first.

The exports lie in the database; when it is opened, the directory is made again from what is noted beside them.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

Floor = tuple[int, int]
"""The last export of a trace and its place among the traces of that export; it grows with the time of arrival."""


@dataclass(slots=True)
class _Trace:
    place: int = 0
    """Among the traces of the last of its exports."""
    spans: int = 0
    exports: list[int] = field(default_factory=list)
    """Ascending."""

    @property
    def heard(self) -> Floor:
        return self.exports[-1], self.place


@dataclass(slots=True)
class _Export:
    size_bytes: int
    live_traces: int


@dataclass(frozen=True)
class Evicted:
    """Exports of which no trace is left, and up to where traces are gone."""

    exports: tuple[int, ...]
    floor: Floor


class TraceDirectory:
    """Fed by the thread that writes, asked by any."""

    def __init__(self, *, max_spans: int, max_bytes: int) -> None:
        """Both bounds hold after every `evict`; bytes are those of the exports that hold the traces."""
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._traces: OrderedDict[bytes, _Trace] = OrderedDict()  # least recently heard of first
        self._exports: dict[int, _Export] = {}
        self._spans = 0
        self._bytes = 0

    @property
    def spans(self) -> int:
        """Spans kept, with those that were delivered twice."""
        return self._spans

    def add(self, export_id: int, size_bytes: int, traces: Mapping[bytes, int]) -> None:
        """Note the traces of an export with their numbers of spans; ids of exports must ascend."""
        with self._lock:
            for place, (trace_id, spans) in enumerate(traces.items()):
                trace = self._traces.get(trace_id)
                if trace is None:
                    trace = self._traces[trace_id] = _Trace()
                else:
                    self._traces.move_to_end(trace_id)
                trace.place = place
                trace.spans += spans
                trace.exports.append(export_id)
                self._spans += spans
            self._exports[export_id] = _Export(size_bytes, len(traces))
            self._bytes += size_bytes

    def evict(self, *, floor: Floor | None = None) -> Evicted | None:
        """Drop traces until the bounds hold, and those last heard of up to `floor`; None when nothing was dropped."""
        exports: list[int] = []
        last = None
        with self._lock:
            while self._traces:
                oldest = next(iter(self._traces.values()))
                above_floor = floor is None or oldest.heard > floor
                if above_floor and self._spans <= self._max_spans and self._bytes <= self._max_bytes:
                    break
                last = oldest.heard
                exports.extend(self._release(self._traces.popitem(last=False)[1]))
        return Evicted(tuple(exports), last) if last is not None else None

    def forget(self, trace_id: bytes) -> tuple[int, ...]:
        """Drop one trace, if it is here; returns the exports of which no trace is left."""
        with self._lock:
            trace = self._traces.pop(trace_id, None)
            return tuple(self._release(trace)) if trace is not None else ()

    def _release(self, trace: _Trace) -> Iterator[int]:
        self._spans -= trace.spans
        for export_id in trace.exports:
            export = self._exports[export_id]
            export.live_traces -= 1
            if not export.live_traces:
                del self._exports[export_id]
                self._bytes -= export.size_bytes
                yield export_id

    def span_count(self, trace_id: bytes) -> int:
        """How many spans of a trace are kept, 0 when it is not here."""
        trace = self._traces.get(trace_id)
        return trace.spans if trace is not None else 0

    def exports_of(self, trace_id: bytes) -> tuple[int, ...]:
        """The exports that a trace has spans in, ascending; none when it is not here."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return tuple(trace.exports) if trace is not None else ()

    def has(self, trace_id: bytes, export_id: int) -> bool:
        """Whether the spans that an export has of a trace are (still) part of it."""
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is None:
                return False
            at = bisect_left(trace.exports, export_id)
            return at < len(trace.exports) and trace.exports[at] == export_id

    def newest(self, limit: int) -> list[bytes]:
        """The traces last heard of, newest first."""
        with self._lock:
            return list(islice(reversed(self._traces), limit))
