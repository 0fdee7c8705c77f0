"""OTLP over gRPC: opentelemetry.proto.collector.trace.v1.TraceService/Export."""

from __future__ import annotations

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from lepton_ai.errors import LeptonError
from lepton_ai.local.traces.ingest import Ingest


class TraceServicer(TraceServiceServicer):
    """Hands exports on."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def Export(  # noqa: N802 (the name is OTLP's)
        self,
        request: ExportTraceServiceRequest,
        context: grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse],
    ) -> ExportTraceServiceResponse:
        try:
            return await self._ingest.export(request)
        except LeptonError as error:
            await context.abort(error.code, str(error))


def grpc_server(ingest: Ingest, *, max_request_bytes: int) -> grpc.aio.Server:
    """A server with the trace service, not yet bound to a port."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            # Without this a second store could bind the same port, and spans would go to either.
            ("grpc.so_reuseport", 0),
        ]
    )
    add_TraceServiceServicer_to_server(TraceServicer(ingest), server)  # type: ignore[no-untyped-call]
    return server
