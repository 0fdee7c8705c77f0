"""OTLP over HTTP: POST /v1/traces with protobuf or JSON, plain or gzip, errors as the specification wants them.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import zlib

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.code_pb2 import INVALID_ARGUMENT, UNAVAILABLE
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import Request
from starlette.responses import Response

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted, Unavailable, Unsupported
from lepton_ai.local.traces.ingest import Ingest

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_GZIP_OR_ZLIB = 47
"""zlib's window bits for "either header"."""

_STATUS_OF: dict[type[LeptonError], int] = {
    InvalidInput: 400,
    ResourceExhausted: 413,
    Unsupported: 415,
    Unavailable: 503,
}


class OtlpEndpoint:
    """Handles POST /v1/traces."""

    def __init__(self, ingest: Ingest, *, max_request_bytes: int) -> None:
        self._ingest = ingest
        self._max_request_bytes = max_request_bytes

    async def export(self, request: Request) -> Response:
        """Take one export; answers in the encoding of the request."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            return _response(await self._take(await self._body(request), content_type), content_type, 200)
        except LeptonError as error:
            return _failure(error, content_type)

    async def _take(self, body: bytes, content_type: str) -> ExportTraceServiceResponse:
        if content_type == _JSON:
            return await self._ingest.json(body)
        if content_type == _PROTOBUF:
            return await self._ingest.protobuf(body)
        raise Unsupported(f"Content-Type must be {_PROTOBUF} or {_JSON}.")

    async def _body(self, request: Request) -> bytes:
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "deflate"):
            raise Unsupported("Content-Encoding must be gzip, deflate or identity.")
        inflate = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
        body = bytearray()
        async for chunk in request.stream():
            body += _inflated(inflate, chunk, self._max_request_bytes - len(body)) if inflate else chunk
            if len(body) > self._max_request_bytes:
                raise ResourceExhausted(f"An export may have at most {self._max_request_bytes} bytes.")
        if inflate and not inflate.eof:
            raise InvalidInput("The compressed body ends too early.")
        return bytes(body)


def _inflated(inflate: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        # One byte more than there is room for is enough to see that it is too much.
        return inflate.decompress(chunk, room + 1)
    except zlib.error as error:
        raise InvalidInput("The body is not compressed as Content-Encoding says.") from error


def _failure(error: LeptonError, content_type: str) -> Response:
    code = UNAVAILABLE if isinstance(error, Unavailable) else INVALID_ARGUMENT
    response = _response(Status(code=code, message=str(error)), content_type, _STATUS_OF.get(type(error), 500))
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return response


def _response(message: Message, content_type: str, status: int) -> Response:
    if content_type == _PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=_PROTOBUF)
    return Response(MessageToJson(message, indent=None), status, media_type=_JSON)
