"""The spans of a batch: queue and compute in every member's trace, one batch span linked to all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import from_status
from lepton_ai.mesh.tracing import grpc_metadata, mark_code, mark_error
from lepton_ai.v1 import preprocess_pb2
from services.inference.batching.flight import Flight
from services.inference.batching.queue import Member
from services.inference.triton.items import PartAnswer
from services.inference.version import LoadedVersion

_MODEL_INFER = "inference.GRPCInferenceService/ModelInfer"


class BatchSpans:
    """Open from the moment a batch leaves the queue until its answer is there.

    The batch span hangs below the compute span of the first sampled member and links to every member; below it hangs
    the call to Triton, whose own spans join there.
    """

    def __init__(self, tracer: Tracer, flight: Flight, loaded: LoadedVersion) -> None:
        self._now_ns = time.time_ns()
        self._tracer = tracer
        members = flight.members
        model: dict[str, AttributeValue] = {"lepton.model.name": loaded.model, "lepton.model.version": loaded.version}
        if loaded.variant:
            model["lepton.model.variant"] = loaded.variant
        self._compute = {
            index: self._open_member(member) for index, member in enumerate(members) if member.context is not None
        }
        first = trace.set_span_in_context(next(iter(self._compute.values())), Context())
        callers = [trace.get_current_span(member.context) for member in members if member.context is not None]
        links = [Link(caller.get_span_context()) for caller in callers]
        attributes: dict[str, AttributeValue] = {
            **model,
            "lepton.batch.size": flight.rows,
            "lepton.batch.members": len(members),
            "lepton.batch.departure": flight.departure.value,
            "lepton.batch.oldest_wait_ms": flight.oldest_wait_s * 1e3,
            "lepton.batch.wide": flight.wide,
        }
        self._batch = tracer.start_span("batch", first, links=links, attributes=attributes, start_time=self._now_ns)
        self._call = tracer.start_span(
            _MODEL_INFER,
            trace.set_span_in_context(self._batch, Context()),
            kind=SpanKind.CLIENT,
            attributes={"rpc.system.name": "grpc", "rpc.method": _MODEL_INFER, **model},
        )

    @classmethod
    def begin(cls, tracer: Tracer, flight: Flight, loaded: LoadedVersion) -> BatchSpans | None:
        """None when no member is sampled: then a batch costs no span at all."""
        sampled = any(member.context is not None for member in flight.members)
        return cls(tracer, flight, loaded) if sampled else None

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """The trace context for Triton."""
        return grpc_metadata(trace.set_span_in_context(self._call, Context()))

    def add_steps(self, parts: Sequence[PartAnswer]) -> None:
        """Show in each sampled member's trace when the pipeline beside the model worked on its item."""
        for index, compute in self._compute.items():
            result = parts[index].result
            if result is not None and result.steps:
                self._add_steps(trace.set_span_in_context(compute, Context()), result)

    def end(self, error: LeptonError | None = None) -> None:
        """Close all spans, marked as failed when there is an error."""
        mark_code(self._call, error.code if error is not None else grpc.StatusCode.OK)
        for span in (self._call, self._batch, *self._compute.values()):
            if error is not None:
                mark_error(span, error)
            span.end()

    def _add_steps(self, compute: Context, result: preprocess_pb2.ItemResult) -> None:
        first, last = result.steps[0], result.steps[-1]
        whole = self._tracer.start_span("preprocess", compute, start_time=first.start_unix_ns)
        for step in result.steps:
            span = self._tracer.start_span(
                step.operation, trace.set_span_in_context(whole, Context()), start_time=step.start_unix_ns
            )
            span.end(step.start_unix_ns + step.duration_ns)
        if result.HasField("error"):
            mark_error(whole, from_status(result.error))
        whole.end(last.start_unix_ns + last.duration_ns)

    def _open_member(self, member: Member) -> Span:
        queue = self._tracer.start_span("queue", member.context, start_time=member.enqueued_ns)
        queue.set_attribute("lepton.queue_ms", (self._now_ns - member.enqueued_ns) / 1e6)
        queue.end(self._now_ns)
        return self._tracer.start_span("compute", member.context, start_time=self._now_ns)
