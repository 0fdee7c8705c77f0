"""Distributed tracing: who samples, how spans are made and marked, and how they reach the collector."""

from lepton_ai.mesh.tracing.calls import client_interceptors, noted_trace
from lepton_ai.mesh.tracing.context import (
    PER_MESSAGE_STREAMS,
    TRACE_ID_TRAILER,
    context_from,
    current_trace_id,
    grpc_metadata,
    trace_context,
)
from lepton_ai.mesh.tracing.marks import mark_code, mark_error
from lepton_ai.mesh.tracing.tracing import Tracing

__all__ = [
    "PER_MESSAGE_STREAMS",
    "TRACE_ID_TRAILER",
    "Tracing",
    "client_interceptors",
    "context_from",
    "current_trace_id",
    "grpc_metadata",
    "mark_code",
    "mark_error",
    "noted_trace",
    "trace_context",
]
