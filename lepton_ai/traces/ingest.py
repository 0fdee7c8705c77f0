"""What both OTLP ports do with an export: have it written, and answer once it is safe."""

from __future__ import annotations

import asyncio

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from lepton_ai.errors import Unavailable
from lepton_ai.traces.exports import Export, accept_json, accept_protobuf
from lepton_ai.traces.writer import SpanWriter


class Ingest:
    """The way of spans into the store."""

    def __init__(self, writer: SpanWriter, *, max_span_bytes: int, write_timeout_s: float) -> None:
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
            reason = reason or ("the trace has too many spans" if over_limit else "")
        partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=reason)
        # Set only when something was rejected: that is how OTLP tells full from partial success.
        return ExportTraceServiceResponse(partial_success=partial if rejected else None)
