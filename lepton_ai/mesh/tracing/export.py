"""Sends spans to an OpenTelemetry collector over gRPC; without one it drops them, quietly and in bounded time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.util.types import AnyValue

from lepton_ai.mesh.tracing.encoding import encode
from lepton_ai.mesh.tracing.spans import RecordedSpan

logger = logging.getLogger(__name__)


class OtlpExporter:
    """Exports to `address` (OTLP over insecure gRPC), one attempt a batch.

    OpenTelemetry's own exporter retries for 10 s a batch with a log line each, reads the environment, and can hold up
    a shutdown; this one logs a line when the collector goes away and one when it is back.
    """

    def __init__(self, address: str, resource: Mapping[str, AnyValue]) -> None:
        """`resource` describes the process that the spans are of."""
        self._address = address
        self._resource = resource
        self._channel = grpc.insecure_channel(
            address, options=(("grpc.max_reconnect_backoff_ms", 2000), ("grpc.enable_http_proxy", 0))
        )
        self._stub = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._dropped = 0

    def export(self, spans: Sequence[RecordedSpan], *, timeout_s: float) -> int:
        """Send one batch, or drop it; returns how many spans were dropped. Blocks, up to `timeout_s`."""
        if timeout_s <= 0:
            self._dropped += len(spans)
            return len(spans)
        try:
            # Wait for the connection, so that the first spans of a stack that is just starting arrive.
            self._stub.Export(encode(self._resource, spans), timeout=timeout_s, wait_for_ready=True)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed meanwhile
            self._note_failure(len(spans), error)
            return len(spans)
        self._note_success()
        return 0

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _note_failure(self, count: int, error: Exception) -> None:
        if not self._dropped:
            code = error.code().name if isinstance(error, grpc.Call) else type(error).__name__
            logger.warning("traces are being dropped: no collector at %s (%s)", self._address, code)
        self._dropped += count

    def _note_success(self) -> None:
        if self._dropped:
            logger.info("the collector at %s is back; %d spans were dropped", self._address, self._dropped)
            self._dropped = 0
