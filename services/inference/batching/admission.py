"""Which calls of a model are let in, and which are refused at once because they would only wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lepton_ai.errors import ResourceExhausted
from services.inference.batching.latency import LatencyModel
from services.inference.call import Call, Priority

_BATCHES = 9
"""Batches for each instance that may be in work or wait: one in work, the others wait."""
_LEAST_ROWS = 128
_BULK_SHARE = 0.5
"""Bulk calls may fill this part; the rest is kept for live ones."""
_TENANT_SHARE = 0.5
"""So may any tenant that says who it is; the others find room."""
_CALL_SHARE = 0.25
"""What a single call counts at most: a large one takes turns with the others in the queue, and must not keep them
out."""
_MIN_RETRY_S = 0.05


@dataclass(frozen=True)
class Limits:
    """How much of one model version may be on its way at once."""

    rows: int = 1024
    size_bytes: int = 256 << 20


class Admission:
    """Bounds the rows of one model version that are on their way, from their arrival to their answer.

    The bound follows the model: what keeps all instances busy for some batches; more would only wait longer. It is the
    idea of TCP Vegas (Brakmo and Peterson, 1995): bound what queues beyond what is being worked on. Vegas learns the
    time without a queue from the calls themselves, for which the queue must run dry now and then; here the batches tell
    it, so nothing needs to be tried. A call is let in or refused as a whole; requests of streams are let in, as they
    have waited for room before they come here. Belongs to one event loop.
    """

    def __init__(self, model: str, *, instances: int, max_batch_rows: int, limits: Limits) -> None:
        self._model = model
        self._instances = instances
        self._max_batch_rows = max_batch_rows
        self._limits = limits
        self._tenants: Counter[str] = Counter()
        self.rows = 0
        """Rows on their way."""
        self.size_bytes = 0
        """Their bytes."""

    def limit_rows(self, latency: LatencyModel) -> int:
        """How many rows may be on their way now."""
        worthwhile = latency.worthwhile_rows(self._max_batch_rows)
        return min(self._limits.rows, max(_LEAST_ROWS, _BATCHES * self._instances * worthwhile))

    @contextmanager
    def admitted(self, rows: int, size_bytes: int, call: Call, latency: LatencyModel) -> Iterator[None]:
        """Let a call in for the block. Raises ResourceExhausted when it would only wait; when there is no other call,
        it is let in whatever its size."""
        if call.from_stream:
            yield
            return
        rows = min(rows, max(1, int(self.limit_rows(latency) * _CALL_SHARE)))
        if self.rows:
            self._check(rows, size_bytes, call, latency)
        self.rows += rows
        self.size_bytes += size_bytes
        self._tenants[call.tenant] += rows
        try:
            yield
        finally:
            self.rows -= rows
            self.size_bytes -= size_bytes
            self._tenants[call.tenant] -= rows
            if not self._tenants[call.tenant]:
                del self._tenants[call.tenant]

    def _check(self, rows: int, size_bytes: int, call: Call, latency: LatencyModel) -> None:
        limit = self.limit_rows(latency)
        share = _BULK_SHARE if call.priority is Priority.BULK else 1.0
        if call.tenant and self._tenants[call.tenant] + rows > limit * _TENANT_SHARE:
            raise self._refusal("TENANT_QUEUE_FULL", "This tenant has filled its part of the queue", latency)
        if self.rows + rows > limit * share or self.size_bytes + size_bytes > self._limits.size_bytes * share:
            raise self._refusal("QUEUE_FULL", "The queue is full", latency)

    def _refusal(self, reason: str, what: str, latency: LatencyModel) -> ResourceExhausted:
        """Says when to come back: when half of what is on its way will have been answered."""
        batches = self.rows / self._max_batch_rows / self._instances
        return ResourceExhausted(
            f"{what} of model {self._model!r}.",
            reason=reason,
            fix="Send less at a time, or add replicas.",
            retry_after_s=max(_MIN_RETRY_S, batches * latency.estimate_s(self._max_batch_rows) / 2),
        )
