"""Processes one item: raw values in, tensors or an error out, with its spans and its metrics."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from functools import partial

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from prometheus_client import Counter, Histogram

from lepton_ai import tensors
from lepton_ai.errors import DeadlineExceeded, LeptonError
from lepton_ai.mesh.errors import as_lepton_error, to_status
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.tracing import Tracing, mark_code, mark_error
from lepton_ai.pipeline import Limits, Processed, StepObserver, raw_inputs
from lepton_ai.v1 import preprocess_pb2
from services.preprocess.stream_memory import NOWHERE
from services.preprocess.workers import Job

logger = logging.getLogger(__name__)

_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Processor:
    """What the worker threads do with a job. Safe to share between them."""

    def __init__(self, limits: Limits, tracing: Tracing, metrics: Metrics) -> None:
        self._limits = limits
        self._tracing = tracing
        self._item_seconds = Histogram(
            "lepton_preprocess_item_seconds",
            "Time spent working on an item, waiting excluded, by gRPC status code.",
            ("code",),
            buckets=_BUCKETS_S,
            registry=metrics.registry,
        )
        self._ok_seconds = self._item_seconds.labels("OK")
        self._queue_seconds = Histogram(
            "lepton_preprocess_queue_seconds",
            "Time an item waited for a worker.",
            buckets=_BUCKETS_S,
            registry=metrics.registry,
        )
        sent = Counter(
            "lepton_preprocess_tensors",
            "Tensors by how they went: in shared memory, or inside messages.",
            ("way",),
            registry=metrics.registry,
        )
        self._in_memory, self._in_messages = sent.labels("memory"), sent.labels("message")

    def process(self, job: Job) -> None:
        """Process an item and hand its result to whoever waits for it. Never raises."""
        start_s = time.monotonic()
        self._queue_seconds.observe(start_s - job.queued_s)
        try:
            _check_deadline(job, start_s)
            self._fill(job, self._run(job, start_s))
        except Exception as error:  # noqa: BLE001 - the thread must go on; what is not understood is logged
            if job.memory is not None and job.result.HasField("lease"):
                job.memory.forget(job.result.lease)
            job.result.CopyFrom(self._failed(job, error, start_s))
        else:
            duration_s = time.monotonic() - start_s
            job.result.duration_us = int(duration_s * 1e6)
            self._ok_seconds.observe(duration_s)
            mark_code(job.span, grpc.StatusCode.OK)
        job.span.end()
        job.finish()

    def _run(self, job: Job, start_s: float) -> Processed:
        observe: StepObserver | None = None
        if job.span.is_recording():
            job.span.set_attribute("lepton.queue_ms", (start_s - job.queued_s) * 1e3)
            job.span.set_attribute("lepton.pipeline.digest", job.pipeline.digest[:12])
            observe = partial(self._step_span, trace.set_span_in_context(job.span, Context()))
        return job.pipeline.run(raw_inputs(job.item), limits=self._limits, observe=observe)

    def _step_span(self, context: Context, operation: str) -> AbstractContextManager[Span]:
        return self._tracing.span(operation, context=context)

    def _fill(self, job: Job, processed: Processed) -> None:
        result = job.result
        result.tensors.SetInParent()
        placed = NOWHERE if job.memory is None else job.memory.place(processed.tensors)
        if placed.lease is not None:
            result.lease.CopyFrom(placed.lease)
        for name, array in processed.tensors.items():
            region = placed.regions.get(name)
            if region is None:
                tensors.add_to(result.tensors, name, array)
            else:
                tensors.add_shared_to(result.tensors, name, array, region)
        if placed.regions:
            self._in_memory.inc(len(placed.regions))
        if len(processed.tensors) > len(placed.regions):
            self._in_messages.inc(len(processed.tensors) - len(placed.regions))
        for each in processed.anomalies:
            result.anomalies.add(input=each.input, reason=each.reason, message=each.message)
        for name, frame in processed.frames.items():
            result.frames.append(frame.to_proto(name))

    def _failed(self, job: Job, error: Exception, start_s: float) -> preprocess_pb2.ItemResult:
        known = as_lepton_error(error)
        if not isinstance(error, LeptonError):
            logger.error("processing an item failed", exc_info=error, extra={"digest": job.pipeline.digest[:12]})
        duration_s = time.monotonic() - start_s
        self._item_seconds.labels(known.code.name).observe(duration_s)
        return failure(known, job.span, duration_us=int(duration_s * 1e6))


def failure(error: LeptonError, span: Span, *, duration_us: int = 0) -> preprocess_pb2.ItemResult:
    """The result of an item that failed, with its span marked."""
    mark_code(span, error.code)
    mark_error(span, error)
    return preprocess_pb2.ItemResult(error=to_status(error), duration_us=duration_us)


def _check_deadline(job: Job, now_s: float) -> None:
    if now_s >= job.deadline_s:
        raise DeadlineExceeded(
            "The time for this item ran out while it waited for a worker.",
            reason="EXPIRED_IN_QUEUE",
            fix="Allow more time, send less at a time, or add preprocess replicas.",
        )
