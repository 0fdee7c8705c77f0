"""OTLP over gRPC: opentelemetry.proto.collector.trace.v1.TraceService/Export."""

from __future__ import annotations

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lepton_ai.errors import LeptonError
from lepton_ai.traces.ingest import Ingest

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class TraceServicer:
    """Hands exports on as the bytes they came in, which is how they are kept."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def export(
        self, body: bytes, context: grpc.aio.ServicerContext[bytes, ExportTraceServiceResponse]
    ) -> ExportTraceServiceResponse:
        """Take one export."""
        try:
            return await self._ingest.protobuf(body)
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
    export: grpc.RpcMethodHandler[bytes, ExportTraceServiceResponse] = grpc.unary_unary_rpc_method_handler(
        TraceServicer(ingest).export, response_serializer=ExportTraceServiceResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": export}),))
    return server
