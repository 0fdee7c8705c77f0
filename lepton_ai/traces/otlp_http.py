"""OTLP over HTTP: POST /v1/traces with protobuf or JSON, plain or gzip, errors as the specification wants them.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.code_pb2 import INVALID_ARGUMENT, UNAVAILABLE
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted, Unavailable, Unsupported
from lepton_ai.traces.ingest import Body, Ingest

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_DISCARDED = 16
"""How many times the size of an export is read and thrown away of one that is refused before it is complete: a client
that still sends when the connection is closed may never see the answer."""

_STATUS_OF: dict[type[LeptonError], int] = {
    InvalidInput: 400,
    ResourceExhausted: 413,
    Unsupported: 415,
    Unavailable: 503,
}


PATH = "/v1/traces"


class OtlpEndpoint:
    """Handles POST /v1/traces: plain ASGI, as for a small export a framework costs more than all the rest."""

    def __init__(self, ingest: Ingest, *, max_request_bytes: int) -> None:
        self._ingest = ingest
        self.registry = ingest.registry
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one export; answers in the encoding of the request."""
        headers = {name: value.decode("latin-1").strip().lower() for name, value in scope["headers"]}
        content_type = headers.get(b"content-type", "").partition(";")[0].rstrip()
        try:
            body = await self._body(receive, headers.get(b"content-encoding", "identity"))
            response = _response(await self._take(body, content_type), content_type, 200)
        except ClientDisconnect:
            return
        except LeptonError as error:
            response = _failure(error, content_type)
        await response(scope, receive, send)

    async def _take(self, body: bytes, content_type: str) -> ExportTraceServiceResponse:
        if content_type == _JSON:
            return await self._ingest.json(body)
        if content_type == _PROTOBUF:
            return await self._ingest.protobuf(body)
        raise Unsupported(f"Content-Type must be {_PROTOBUF} or {_JSON}.")

    async def _body(self, receive: Receive, encoding: str) -> bytes:
        chunks = _chunks(receive)
        try:
            body = Body(encoding, max_bytes=self._max_request_bytes)
            async for chunk in chunks:
                body.add(chunk)
            return body.whole()
        except LeptonError:
            await _discard(chunks, at_most_bytes=_DISCARDED * self._max_request_bytes)
            raise


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives; raises ClientDisconnect when the client goes before it is complete."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _discard(chunks: AsyncIterator[bytes], *, at_most_bytes: int) -> None:
    left = at_most_bytes
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            return


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
