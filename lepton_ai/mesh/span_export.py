"""Sends spans to an OpenTelemetry collector over gRPC; without one it drops them, quietly and in bounded time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0


class OtlpExporter(SpanExporter):
    """Exports to `address` (OTLP over insecure gRPC), one attempt a batch.

    OpenTelemetry's own exporter retries for 10 s a batch with a log line each, reads the environment, and can hold up
    a shutdown; this one logs a line when the collector goes away and one when it is back.
    """

    def __init__(self, address: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            address, options=(("grpc.max_reconnect_backoff_ms", 2000), ("grpc.enable_http_proxy", 0))
        )
        self._stub = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._dropped = 0
        self._last_attempt_end_s: float | None = None
        self._closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch. Called by the batch processor's thread only, so blocking is fine."""
        timeout_s = self._allowed_s()
        if timeout_s <= 0:
            self._dropped += len(spans)
            return SpanExportResult.FAILURE
        try:
            # Waiting for the connection is what makes the first spans of a stack that is just starting arrive.
            self._stub.Export(encode_spans(spans), timeout=timeout_s, wait_for_ready=True)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed meanwhile
            self._note_failure(len(spans), error)
            return SpanExportResult.FAILURE
        self._note_success()
        return SpanExportResult.SUCCESS

    @contextmanager
    def hurrying(self, timeout_s: float) -> Iterator[None]:
        """Inside the block all batches together get `timeout_s`: the process is going down."""
        self._last_attempt_end_s = time.monotonic() + timeout_s
        try:
            yield
        finally:
            self._last_attempt_end_s = None

    def shutdown(self) -> None:
        """Close the connection; later exports fail at once."""
        self._closed.set()
        self._channel.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held here."""
        return True

    def _allowed_s(self) -> float:
        if self._closed.is_set():
            return 0.0
        if self._last_attempt_end_s is None:
            return self._timeout_s
        return min(self._timeout_s, self._last_attempt_end_s - time.monotonic())

    def _note_failure(self, count: int, error: Exception) -> None:
        if not self._dropped:
            code = error.code().name if isinstance(error, grpc.Call) else type(error).__name__
            logger.warning("traces are being dropped: no collector at %s (%s)", self._address, code)
        self._dropped += count

    def _note_success(self) -> None:
        if self._dropped:
            logger.info("the collector at %s is back; %d spans were dropped", self._address, self._dropped)
            self._dropped = 0
