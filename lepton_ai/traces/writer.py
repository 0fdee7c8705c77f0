"""The one thread that writes: takes what is queued, commits it together, and tells every waiting export."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from concurrent.futures import Future

from lepton_ai.errors import Unavailable
from lepton_ai.traces.exports import Export
from lepton_ai.traces.store import TraceStore, Written

_logger = logging.getLogger(__name__)
_RETRY_AFTER_S = 1.0


class SpanWriter:
    """Group commit: an idle store writes at once, a busy one writes whole queues, so it needs no timer.

    An export is answered only after its commit; what was acknowledged survives a kill.
    """

    def __init__(self, store: TraceStore, *, max_queued_spans: int, max_queued_bytes: int) -> None:
        """Start the thread; from here on only it may write to `store`."""
        self._store = store
        self._max_queued = max_queued_spans
        self._queue: deque[tuple[Export, Future[Written]]] = deque()
        self._max_queued_bytes = max_queued_bytes
        self._queued_spans = 0
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="span-writer", daemon=True)
        self._thread.start()

    def submit(self, export: Export) -> Future[Written]:
        """Queue an export; the future is done after their commit.

        Raises Unavailable when the queue is full or the store is closing: the exporter keeps the spans and retries.
        """
        future: Future[Written] = Future()
        with self._changed:
            if self._closing:
                raise Unavailable("The trace store is shutting down.", retry_after_s=_RETRY_AFTER_S)
            if self._queue and self._is_too_much(export):
                raise Unavailable("The trace store has too many spans to write.", retry_after_s=_RETRY_AFTER_S)
            self._queue.append((export, future))
            self._queued_spans += export.spans
            self._queued_bytes += len(export.body)
            self._changed.notify()
        return future

    def _is_too_much(self, export: Export) -> bool:
        spans, size_bytes = self._queued_spans + export.spans, self._queued_bytes + len(export.body)
        return spans > self._max_queued or size_bytes > self._max_queued_bytes

    def close(self, *, timeout_s: float) -> None:
        """Write what is queued, then close the store."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while batch := self._take():
            self._commit(batch)
        self._store.close()

    def _take(self) -> list[tuple[Export, Future[Written]]]:
        """Everything that is queued; empty only when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            batch = list(self._queue)
            self._queue.clear()
            self._queued_spans = self._queued_bytes = 0
            return batch

    def _commit(self, batch: list[tuple[Export, Future[Written]]]) -> None:
        waiting = [(export, future) for export, future in batch if future.set_running_or_notify_cancel()]
        try:
            # One transaction for all; each export still learns about its own spans.
            results = self._store.write_all([export for export, _ in waiting])
        except Exception as error:
            # The thread must go on whatever it was: without it every export would wait for nothing.
            _logger.error("could not store spans: %s", error, exc_info=not isinstance(error, sqlite3.Error))
            for _, future in waiting:
                future.set_exception(Unavailable("The trace store cannot write.", retry_after_s=_RETRY_AFTER_S))
            return
        for (_, future), written in zip(waiting, results, strict=True):
            future.set_result(written)
