"""A connection over which the same call is made again and again."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

import hpack

from benchmarks.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    call_headers,
    frame,
    frames,
    greeting,
    message,
)

LOST = 2
"""The code of a call whose connection or stream ended without a status: UNKNOWN."""
_UNAVAILABLE = 14
_MOST_BLOCKS = 1000


class Connection(asyncio.Protocol):
    """HTTP/2 with one kind of call; understands the status of its answers and nothing else."""

    def __init__(self, method: str, request: bytes) -> None:
        self._headers = call_headers(method)
        self._message = message(request)
        self._rest = b""
        self._stream = -1
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._codes: dict[bytes, int | None] = {}
        self._decoder = hpack.Decoder()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, address: str, method: str, request: bytes) -> Connection:
        """Connect to HOST:PORT. Raises OSError when nobody listens."""
        host, _, port = address.rpartition(":")
        _, made = await asyncio.get_running_loop().create_connection(lambda: cls(method, request), host, int(port))
        return made

    async def call(self) -> int:
        """Make the call; gRPC's status code of its answer."""
        if self._transport is None:
            return LOST
        self._stream += 2
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[self._stream] = answer
        head = frame(HEADERS, END_HEADERS, self._stream, self._headers)
        self._transport.write(head + frame(DATA, END_STREAM, self._stream, self._message))
        return await answer

    def close(self) -> None:
        """Close it; calls without an answer are lost."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._transport.write(greeting())

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        for stream in list(self._waiting):
            self._end(stream, LOST)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        data, end = self._rest + data, 0
        for kind, flags, stream, begin, end in frames(data):
            if kind == HEADERS:
                code = self._code(data[begin:end])
                if flags & END_STREAM:
                    self._end(stream, LOST if code is None else code)
            elif kind == RST_STREAM:
                self._end(stream, _UNAVAILABLE)
            elif kind == PING and not flags & ACK and self._transport is not None:
                self._transport.write(frame(PING, ACK, 0, data[begin:end]))
            elif kind == GOAWAY:
                (last,) = struct.unpack(">I", data[begin : begin + 4])
                for lost in [each for each in self._waiting if each > last]:
                    self._end(lost, _UNAVAILABLE)
        self._rest = data[end:]

    def _code(self, block: bytes) -> int | None:
        """gRPC's status in these headers, if they have any. No block refers to earlier ones: equal ones are equal."""
        if block not in self._codes:
            if len(self._codes) > _MOST_BLOCKS:
                self._codes.clear()
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            refused = None if fields.get(":status", "200") == "200" else _UNAVAILABLE
            status = fields.get("grpc-status")
            self._codes[block] = refused if status is None else int(status)
        return self._codes[block]

    def _end(self, stream: int, code: int) -> None:
        answer = self._waiting.pop(stream, None)
        if answer is not None and not answer.done():
            answer.set_result(code)
