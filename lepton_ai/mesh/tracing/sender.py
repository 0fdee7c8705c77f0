"""Carries ended spans to the exporter, in a thread of its own and in bounded memory."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from lepton_ai.mesh.tracing.spans import RecordedSpan

logger = logging.getLogger(__name__)

_MAX_WAITING = 8192
_MAX_BATCH = 512
_PERIOD_S = 0.5
_EXPORT_TIMEOUT_S = 2.0


class SpanExporter(Protocol):
    """Where batches of spans go."""

    def export(self, spans: Sequence[RecordedSpan], *, timeout_s: float) -> int:
        """Send a batch, or drop it when that is not possible in time, and say how many spans were dropped.

        Blocks; called by one thread at a time.
        """

    def close(self) -> None:
        """Called once, when nothing will be exported any more."""


class SpanSender:
    """Sends the spans that have ended, twice a second and in batches: ending a span wakes no thread and takes no lock.

    When more spans wait than there is room for, the oldest are dropped.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._waiting: deque[RecordedSpan] = deque(maxlen=_MAX_WAITING)
        self.put: Callable[[RecordedSpan], None] = self._waiting.append
        """Take over a span that has ended. Safe in any thread."""
        self.dropped = 0
        """Spans that the exporter did not get rid of."""
        self._hurry_until_s = math.inf
        self._exporting = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lepton-spans", daemon=True)
        self._thread.start()

    def flush(self, timeout_s: float) -> None:
        """Send what is waiting now; what the exporter does not take in time is dropped. Blocks."""
        self._hurry_until_s = time.monotonic() + timeout_s
        try:
            self._send_waiting()
        finally:
            self._hurry_until_s = math.inf

    def close(self, timeout_s: float) -> None:
        """`flush`, and stop. Blocks. Further calls do nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self.flush(timeout_s)
        self._thread.join(_EXPORT_TIMEOUT_S)
        self._exporter.close()

    def _run(self) -> None:
        while not self._closing.wait(_PERIOD_S):
            self._send_waiting()

    def _send_waiting(self) -> None:
        for _ in range(math.ceil(len(self._waiting) / _MAX_BATCH)):
            with self._exporting:
                self._send_batch()

    def _send_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
        if not batch:
            return  # another thread has sent them meanwhile
        timeout_s = min(_EXPORT_TIMEOUT_S, self._hurry_until_s - time.monotonic())
        try:
            self.dropped += self._exporter.export(batch, timeout_s=timeout_s)
        except Exception:  # whatever it is: the spans are counted as lost, it is said, and the next ones are sent
            self.dropped += len(batch)
            logger.exception("%d spans could not be exported", len(batch))
