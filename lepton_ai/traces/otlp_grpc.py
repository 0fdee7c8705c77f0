"""OTLP over gRPC: opentelemetry.proto.collector.trace.v1.TraceService/Export, plain or gzip, as collectors send it."""

from __future__ import annotations

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lepton_ai.errors import LeptonError
from lepton_ai.traces.ingest import Body, Ingest

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_GZIP_MAGIC = b"\x1f\x8b"
"""No export begins with it: it would be a field of a kind that protobuf does not have."""
_IDENTITY_AND_GZIP = 0b101
"""Bits by the number of gRPC's compression algorithms."""


class TraceServicer:
    """Hands exports on as the bytes they came in, which is how they are kept."""

    def __init__(self, ingest: Ingest, *, max_request_bytes: int) -> None:
        self._ingest = ingest
        self._max_request_bytes = max_request_bytes

    async def export(
        self, body: bytes, context: grpc.aio.ServicerContext[bytes, ExportTraceServiceResponse]
    ) -> ExportTraceServiceResponse:
        """Take one export."""
        try:
            return await self._ingest.protobuf(self._unpacked(body) if body.startswith(_GZIP_MAGIC) else body)
        except LeptonError as error:
            await context.abort(error.code, str(error))

    def _unpacked(self, packed: bytes) -> bytes:
        body = Body("gzip", max_bytes=self._max_request_bytes)
        body.add(packed)
        return body.whole()


def grpc_server(ingest: Ingest, *, max_request_bytes: int) -> grpc.aio.Server:
    """A server with the trace service, not yet bound to a port."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            # gRPC unpacks a message before it looks at its size: a megabyte of gzip becomes a gigabyte.
            ("grpc.per_message_decompression", 0),
            ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
            # Without this a second store could bind the same port, and spans would go to either.
            ("grpc.so_reuseport", 0),
        ]
    )
    export: grpc.RpcMethodHandler[bytes, ExportTraceServiceResponse] = grpc.unary_unary_rpc_method_handler(
        TraceServicer(ingest, max_request_bytes=max_request_bytes).export,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": export}),))
    return server
