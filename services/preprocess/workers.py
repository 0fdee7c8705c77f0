"""A bounded queue of items and the threads that work on them.

Threads, not processes: Pillow's decoders and filters release the interpreter lock, so on two cores two threads do 1.9
times the photos of one, as two processes do, without copying every photo into another process. Work that holds the
lock (text, tables) scales with the number of replicas.
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import grpc
from opentelemetry.trace import Span

from lepton_ai.errors import ResourceExhausted
from lepton_ai.mesh.tracing import mark_code
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import common_pb2, preprocess_pb2
from services.preprocess.stream_memory import StreamMemory

_RETRY_AFTER_S = 0.1
_log = logging.getLogger(__name__)


class _State(enum.Enum):
    WAITING = enum.auto()
    TAKEN = enum.auto()
    CANCELLED = enum.auto()


class Job:
    """One item to process, and whom to tell."""

    __slots__ = (
        "_state",
        "deadline_s",
        "finish",
        "item",
        "memory",
        "pipeline",
        "queued_s",
        "result",
        "size_bytes",
        "span",
    )

    def __init__(
        self,
        pipeline: Pipeline,
        item: common_pb2.Item,
        *,
        deadline_s: float,
        span: Span,
        result: preprocess_pb2.ItemResult,
        finish: Callable[[], None],
        memory: StreamMemory | None = None,
    ) -> None:
        """`deadline_s` is on the monotonic clock, math.inf for none. `memory`: where its tensors may lie.

        The worker fills `result`, which may be a part of a larger message, so that tensors are not copied into that
        once more; then it calls `finish` once, in its thread.
        """
        self.pipeline = pipeline
        self.item = item
        self.deadline_s = deadline_s
        self.span = span
        self.result = result
        self.finish = finish
        self.memory = memory
        self.queued_s = time.monotonic()
        self.size_bytes = item.ByteSize()
        self._state = _State.WAITING


class Workers:
    """Threads that run `work` on one job after the other, oldest first."""

    def __init__(
        self, work: Callable[[Job], None], *, threads: int, max_queue_items: int, max_queue_bytes: int
    ) -> None:
        """`work` should not raise: then nobody would hear how the job ended.

        `threads` 0 starts one for every core that this process may use.
        """
        self._work = work
        self._max_items = max_queue_items
        self._max_bytes = max_queue_bytes
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_items = 0
        self._waiting_bytes = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{index}", daemon=True)
            for index in range(threads or len(os.sched_getaffinity(0)))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def threads(self) -> int:
        """How many jobs are worked on at once."""
        return len(self._threads)

    @property
    def waiting_items(self) -> int:
        """Jobs that no thread has begun."""
        return self._waiting_items

    def submit(self, job: Job) -> None:
        """Queue a job. Raises ResourceExhausted when too much is waiting."""
        with self._lock:
            full = self._waiting_items >= self._max_items
            # a single large item must be able to wait, whatever the bound
            if full or (self._waiting_items and self._waiting_bytes + job.size_bytes > self._max_bytes):
                raise ResourceExhausted(
                    f"{self._waiting_items} items wait for a worker of this preprocess replica already.",
                    reason="QUEUE_FULL",
                    fix="Try again shortly, send less at a time, or add preprocess replicas.",
                    retry_after_s=_RETRY_AFTER_S,
                )
            self._waiting_items += 1
            self._waiting_bytes += job.size_bytes
        self._queue.put(job)

    def cancel(self, job: Job) -> bool:
        """Drop a job that no thread has begun; its `finish` is then never called. False: it is too late."""
        if not self._leave_queue(job, _State.CANCELLED):
            return False
        mark_code(job.span, grpc.StatusCode.CANCELLED)
        job.span.end()
        return True

    def close(self) -> None:
        """Let every queued job finish, then end the threads. Blocks."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._leave_queue(job, _State.TAKEN):
                try:
                    self._work(job)
                except Exception:  # noqa: BLE001 - the thread must go on
                    _log.exception("a job failed; its worker goes on")

    def _leave_queue(self, job: Job, state: _State) -> bool:
        with self._lock:
            if job._state is not _State.WAITING:
                return False
            job._state = state
            self._waiting_items -= 1
            self._waiting_bytes -= job.size_bytes
            return True
