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
from lepton_ai.mesh.tracing import grpc_metadata, mark_code, mark_error
from services.inference.batching.queue import Member
from services.inference.version import LoadedVersion

_MODEL_INFER = "inference.GRPCInferenceService/ModelInfer"


class BatchSpans:
    """Open from the moment a batch leaves the queue until its answer is there.

    The batch span hangs below the compute span of the first sampled member and links to every member; below it hangs
    the call to Triton, whose own spans join there.
    """

    def __init__(self, tracer: Tracer, members: Sequence[Member], loaded: LoadedVersion) -> None:
        self._now_ns = time.time_ns()
        model: dict[str, AttributeValue] = {"lepton.model.name": loaded.model, "lepton.model.version": loaded.version}
        self._compute = [self._open_member(tracer, member) for member in members if member.context is not None]
        first = trace.set_span_in_context(self._compute[0], Context())
        callers = [trace.get_current_span(member.context) for member in members if member.context is not None]
        links = [Link(caller.get_span_context()) for caller in callers]
        size = sum(member.rows.count for member in members)
        attributes: dict[str, AttributeValue] = {
            **model,
            "lepton.batch.size": size,
            "lepton.batch.members": len(members),
        }
        self._batch = tracer.start_span("batch", first, links=links, attributes=attributes, start_time=self._now_ns)
        self._call = tracer.start_span(
            _MODEL_INFER,
            trace.set_span_in_context(self._batch, Context()),
            kind=SpanKind.CLIENT,
            attributes={"rpc.system.name": "grpc", "rpc.method": _MODEL_INFER, **model},
        )

    @classmethod
    def begin(cls, tracer: Tracer, members: Sequence[Member], loaded: LoadedVersion) -> BatchSpans | None:
        """None when no member is sampled: then a batch costs no span at all."""
        return cls(tracer, members, loaded) if any(member.context is not None for member in members) else None

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """The trace context for Triton."""
        return grpc_metadata(trace.set_span_in_context(self._call, Context()))

    def end(self, error: LeptonError | None = None) -> None:
        """Close all spans, marked as failed when there is an error."""
        mark_code(self._call, error.code if error is not None else grpc.StatusCode.OK)
        for span in (self._call, self._batch, *self._compute):
            if error is not None:
                mark_error(span, error)
            span.end()

    def _open_member(self, tracer: Tracer, member: Member) -> Span:
        queue = tracer.start_span("queue", member.context, start_time=member.enqueued_ns)
        queue.set_attribute("lepton.queue_ms", (self._now_ns - member.enqueued_ns) / 1e6)
        queue.end(self._now_ns)
        return tracer.start_span("compute", member.context, start_time=self._now_ns)
