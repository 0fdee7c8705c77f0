"""Which calls of a model are let in, and which are refused at once because they would only wait."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from lepton_ai.errors import ResourceExhausted
from services.inference.batching.latency import LatencyModel
from services.inference.call import Call, Priority

_BURST_BATCHES = 9
"""Batches for each instance that may be in work or wait when many calls come at once: one in work, the others wait."""
_BURST_ROWS = 128
"""So many rows may in any case."""
_BURST_WAIT_S = 0.1
"""So may as many as are answered within this: of a model that answers thousands of rows each second, the rows that come
while a process is busy with something else are no reason to refuse a call."""
_UNKNOWN_ROWS = 256
"""So may as many as this before the first answer tells how quick the model is."""
_STEADY_BATCHES = 2
"""The same while more comes than can be answered: one in work, one that is ready when it is done; and a row for each
instance that is on its way in or out."""
_STEADY_SAVING = 0.1
"""Then batches may be so large that larger ones would save less than this part of the time per row."""
_FULL_SHARE = 0.75
"""A queue that has been filled is full until it has gone down to this part."""
_FULL_S = 0.25
"""So long, and for two batches, a burst may fill the queue; where calls are refused for longer, it is none."""
_CALM_S = 1.0
"""An overload is over when no call was refused for so long."""
_BULK_SHARE = 0.5
"""Bulk calls may fill this part; the rest is kept for live ones."""
_TENANT_SHARE = 0.5
"""So may any tenant that says who it is; the others find room."""
_CALL_SHARE = 0.25
"""What a single call counts at most: a large one takes turns with the others in the queue, and must not keep them
out."""
_MIN_RETRY_S = 0.05

_NO_BOUND: AbstractContextManager[None] = nullcontext()


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
    it, so nothing needs to be tried.

    A burst may wait, an overload may not: CoDel's good and bad queue (Nichols and Jacobson, 2012). At first the bound
    leaves room for a burst. When calls had to be refused for longer than a burst lasts, waiting helps nobody any more:
    the bound becomes what the instances need to be busy, and who came since the queue was full and would wait beyond it
    is refused, too. Live calls that filled it are answered: what fits in the queue is no excess, and so early nobody
    knows how fast the model will be.

    A call is let in or refused as a whole; requests of streams are let in, as they have waited for room before they
    come here. Belongs to one event loop.
    """

    def __init__(
        self,
        model: str,
        *,
        instances: int,
        max_batch_rows: int,
        limits: Limits,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._model = model
        self._instances = instances
        self._max_batch_rows = max_batch_rows
        self._limits = limits
        self._clock = clock or time.monotonic
        self._tenants: Counter[str] = Counter()
        self._entries: dict[_Entry, None] = {}
        self._full_since_s: float | None = None
        self._full_rows = 0.0
        self._refused_s = float("-inf")
        self._overloaded = False
        self._limit_rows = limits.rows
        self.rows = 0
        """Rows on their way."""
        self.size_bytes = 0
        """Their bytes."""

    @property
    def fullness(self) -> float:
        """The part of the bound that is taken; that bound is the one of the call that came last."""
        return self.rows / self._limit_rows

    @property
    def overloaded(self) -> bool:
        """Whether more comes than can be answered."""
        if self._overloaded and self._clock() - self._refused_s > _CALM_S:
            self._overloaded = False
        return self._overloaded

    def limit_rows(self, latency: LatencyModel) -> int:
        """How many rows may be on their way now."""
        if self.overloaded:
            worthwhile = latency.worthwhile_rows(self._max_batch_rows, saving=_STEADY_SAVING)
            return min(self._limits.rows, self._instances * (_STEADY_BATCHES * worthwhile + 1))
        worthwhile = latency.worthwhile_rows(self._max_batch_rows)
        quick = self._answered_rows(worthwhile, _BURST_WAIT_S, latency)
        return min(self._limits.rows, max(_BURST_ROWS, _BURST_BATCHES * self._instances * worthwhile, quick))

    def _answered_rows(self, batch_rows: int, wait_s: float, latency: LatencyModel) -> int:
        """How many rows all instances answer in `wait_s`, in batches of `batch_rows`."""
        if not latency.batches:
            return _UNKNOWN_ROWS
        return int(wait_s / latency.estimate_s(batch_rows) * batch_rows * self._instances)

    def admitted(self, rows: int, size_bytes: int, call: Call, latency: LatencyModel) -> AbstractContextManager[None]:
        """Let a call in for the block. Raises ResourceExhausted when it would only wait; when there is no other call,
        it is let in whatever its size. The block may end with ResourceExhausted, too, when there is an overload."""
        if call.from_stream:
            return _NO_BOUND
        limit = self._limit_rows = self.limit_rows(latency)
        rows = min(rows, max(1, int(limit * _CALL_SHARE)))
        if self.rows:
            self._check(rows, size_bytes, limit, call, latency)
        return _Entry(self, rows, size_bytes, call, is_late=self._full_since_s is not None)

    def enter(self, entry: _Entry) -> None:
        """A call's block begins."""
        self._entries[entry] = None
        self.rows += entry.rows
        self.size_bytes += entry.size_bytes
        self._tenants[entry.tenant] += entry.rows

    def leave(self, entry: _Entry) -> None:
        """It ends."""
        del self._entries[entry]
        self.rows -= entry.rows
        self.size_bytes -= entry.size_bytes
        self._tenants[entry.tenant] -= entry.rows
        if not self._tenants[entry.tenant]:
            del self._tenants[entry.tenant]
        if self._full_since_s is not None and self.rows < self._full_rows:
            self._full_since_s = None

    def _check(self, rows: int, size_bytes: int, limit: int, call: Call, latency: LatencyModel) -> None:
        share = _BULK_SHARE if call.priority is Priority.BULK else 1.0
        if call.tenant and self._tenants[call.tenant] + rows > limit * _TENANT_SHARE:
            raise self._refusal("TENANT_QUEUE_FULL", "This tenant has filled its part of the queue", latency)
        if self.rows + rows > limit * share or self.size_bytes + size_bytes > self._limits.size_bytes * share:
            if call.priority is Priority.LIVE:
                self._note_full(limit, latency)
            raise self._refusal("QUEUE_FULL", "The queue is full", latency)

    def _note_full(self, limit: int, latency: LatencyModel) -> None:
        """A live call finds no room: perhaps for so long that this is no burst."""
        now = self._refused_s = self._clock()
        if self._overloaded:
            return
        if self._full_since_s is None:
            self._full_since_s, self._full_rows = now, limit * _FULL_SHARE
        burst_s = max(_FULL_S, 2 * latency.estimate_s(latency.worthwhile_rows(self._max_batch_rows)))
        if now - self._full_since_s > burst_s:
            self._overloaded, self._full_since_s = True, None
            self._shed(latency)

    def _shed(self, latency: LatencyModel) -> None:
        """Refuse those who came last and bulk calls before live ones, as far as they are more than the bound."""
        surplus = self.rows - self.limit_rows(latency)
        newest_first = [each for each in reversed(self._entries) if each.is_late or each.priority is Priority.BULK]
        for entry in sorted(newest_first, key=lambda each: each.priority, reverse=True):
            if surplus <= 0:
                return
            surplus -= entry.rows
            entry.end(self._refusal("QUEUE_FULL", "The queue is full", latency))

    def _refusal(self, reason: str, what: str, latency: LatencyModel) -> ResourceExhausted:
        """Says when to come back: when half of what is on its way will have been answered; later in an overload."""
        batches = self.rows / self._max_batch_rows / self._instances
        drain_s = batches * latency.estimate_s(self._max_batch_rows) / 2
        return ResourceExhausted(
            f"{what} of model {self._model!r}.",
            reason=reason,
            fix="Send less at a time, or add replicas.",
            retry_after_s=max(_CALM_S if self._overloaded else _MIN_RETRY_S, drain_s),
        )


class _Entry:
    """The block of `admitted`: a call that was let in."""

    __slots__ = (
        "_admission", "_cancelling", "_refusal", "_task", "is_late", "priority", "rows", "size_bytes", "tenant"
    )  # fmt: skip

    def __init__(self, admission: Admission, rows: int, size_bytes: int, call: Call, *, is_late: bool) -> None:
        self.is_late = is_late
        """Whether the queue was full already."""
        self.rows = rows
        self.size_bytes = size_bytes
        self.priority = call.priority
        self.tenant = call.tenant
        self._admission = admission
        self._refusal: ResourceExhausted | None = None

    def end(self, refusal: ResourceExhausted) -> None:
        """Cancel the block; it raises this in place of CancelledError."""
        if self._task is not None and not self._task.done():
            self._refusal = refusal
            self._task.cancel()

    def __enter__(self) -> None:
        self._task = _current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        self._admission.enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.leave(self)
        if self._refusal is None or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise self._refusal from error


def _current_task() -> asyncio.Task[Any] | None:
    """The task that runs; None outside of any, where nothing can be cancelled."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
