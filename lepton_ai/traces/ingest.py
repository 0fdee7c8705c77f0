"""What both OTLP ports do with an export: unpack it, have it written, and answer once it is safe."""

from __future__ import annotations

import asyncio
import zlib

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from prometheus_client import CollectorRegistry, Counter

from lepton_ai.errors import InvalidInput, ResourceExhausted, Unavailable, Unsupported
from lepton_ai.traces.exports import Export, accept_json, accept_protobuf
from lepton_ai.traces.writer import SpanWriter

_ENCODINGS = ("identity", "gzip", "deflate")
_GZIP_OR_ZLIB = 47
"""zlib's window bits for "either header"."""


class Body:
    """`add` what arrives, then take the `whole`. Holds at most a byte more than allowed, however well it was packed."""

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        """`encoding` is HTTP's Content-Encoding. Raises Unsupported."""
        if encoding not in _ENCODINGS:
            raise Unsupported("Content-Encoding must be gzip, deflate or identity.")
        self._inflate = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._max_bytes = max_bytes
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next part. Raises ResourceExhausted when it is too much, InvalidInput for what is not packed."""
        # One byte more than there is room for is enough to see that it is too much.
        room = self._max_bytes - len(self._bytes) + 1
        self._bytes += chunk[:room] if self._inflate is None else _unpacked(self._inflate, chunk, room)
        if len(self._bytes) > self._max_bytes:
            self._bytes.clear()
            raise ResourceExhausted(f"An export may have at most {self._max_bytes} bytes, unpacked.")

    def whole(self) -> bytes:
        """Everything that was added. Raises InvalidInput when a packed body is not complete."""
        if self._inflate is not None and not self._inflate.eof:
            raise InvalidInput("The compressed body ends too early.")
        return bytes(self._bytes)


def _unpacked(inflate: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        return inflate.decompress(chunk, room)
    except zlib.error as error:
        raise InvalidInput("The body is not compressed as it is said to be.") from error


class Ingest:
    """The way of spans into the store."""

    def __init__(self, writer: SpanWriter, *, max_span_bytes: int, write_timeout_s: float) -> None:
        self.registry = CollectorRegistry()
        """What it counts, for Prometheus."""
        self._spans = Counter(
            "lepton_trace_spans", "Spans that came, by outcome.", ("outcome",), registry=self.registry
        )
        self._writer = writer
        self._max_span_bytes = max_span_bytes
        self._write_timeout_s = write_timeout_s

    async def protobuf(self, body: bytes) -> ExportTraceServiceResponse:
        """Store an export in protobuf; spans that cannot be stored are counted in the answer's partial success.

        Raises InvalidInput for what is no export, and Unavailable when it could not be written now; sending it again
        is safe, also when it was written.
        """
        return await self._keep(accept_protobuf(body, max_span_bytes=self._max_span_bytes))

    async def json(self, body: bytes) -> ExportTraceServiceResponse:
        """Store an export in JSON, as `protobuf` does."""
        return await self._keep(accept_json(body, max_span_bytes=self._max_span_bytes))

    async def _keep(self, export: Export) -> ExportTraceServiceResponse:
        rejected, reason = export.rejected, export.reason
        if export.traces:
            written = asyncio.wrap_future(self._writer.submit(export))
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    over_limit = (await written).over_limit
            except TimeoutError as error:
                raise Unavailable("The trace store is too slow to write.", retry_after_s=1.0) from error
            rejected += over_limit
            self._spans.labels("stored").inc(sum(export.traces.values()) - over_limit)
            reason = reason or ("the trace has too many spans" if over_limit else "")
        self._spans.labels("rejected").inc(rejected)
        partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=reason)
        # Set only when something was rejected: that is how OTLP tells full from partial success.
        return ExportTraceServiceResponse(partial_success=partial if rejected else None)
