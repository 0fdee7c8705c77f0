"""An HTTP/2 client that can misbehave: calls by hand, and frames that no library would send."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from google.protobuf.wrappers_pb2 import StringValue

from tests.integration.mesh.echo import SERVICE

HEADERS, PING, CONTINUATION = 1, 6, 9
END_STREAM, END_HEADERS = 1, 4
_HEAD_BYTES = 9


class RawClient:
    """One connection. `pump` reads what comes until something is there that a test waits for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        self.seen: list[h2.events.Event] = []
        self.closed = False
        self._read = bytearray()

    @classmethod
    async def connect(cls, port: int, *, window_bytes: int = 65535) -> RawClient:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client.h2.initiate_connection()
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        await client.flush()
        return client

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    def begin(self, method: str, *more: tuple[str, str], end: bool = False) -> int:
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{SERVICE}/{method}"),
            (":authority", "probe"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        ]
        self.h2.send_headers(stream, headers, end_stream=end)
        return stream

    def send(self, stream: int, text: str, *, end: bool = True) -> None:
        raw = StringValue(value=text).SerializeToString()
        self.h2.send_data(stream, b"\0" + struct.pack(">I", len(raw)) + raw, end_stream=end)

    async def call(self, method: str, text: str, *more: tuple[str, str]) -> dict[str, str]:
        """A unary call; returns headers and trailers together."""
        stream = self.begin(method, *more)
        self.send(stream, text)
        await self.flush()
        return await self.status(stream)

    async def status(self, stream: int) -> dict[str, str]:
        while not self.closed:
            found = self._headers(stream)
            if "grpc-status" in found or ":reset" in found or found.get(":status", "200") != "200":
                return found
            await self.pump()
        return {":closed": "1", **self._headers(stream)}

    async def until(self, kind: type[h2.events.Event]) -> Any:
        while True:
            for event in self.seen:
                if isinstance(event, kind):
                    return event
            assert not self.closed, self.seen
            await self.pump()

    async def read_to_the_end(self) -> bytes:
        """What comes until the server closes the connection, without understanding it."""
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                self._read += data
        self.closed = True
        return bytes(self._read)

    async def read_for(self, seconds: float) -> bytes:
        """What comes in that time, or until the connection is closed."""
        try:
            async with asyncio.timeout(seconds):
                return await self.read_to_the_end()
        except TimeoutError:
            return bytes(self._read)

    async def pump_for(self, seconds: float) -> None:
        """`pump` for that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.closed:
                    await self.pump()

    async def pump(self) -> None:
        """Read once; acknowledges settings and pings, but never opens a window."""
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self._read += data
        while (frame := self._next_frame()) is not None:
            self.seen += self.h2.receive_data(frame)
            if self.h2.state_machine.state is h2.connection.ConnectionState.CLOSED:  # for h2, GOAWAY is the end
                self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        try:
            await self.flush()
        except ConnectionError:
            self.closed = True

    def _next_frame(self) -> bytes | None:
        size = _HEAD_BYTES + int.from_bytes(self._read[:3], "big")
        if len(self._read) < size:
            return None
        frame = bytes(self._read[:size])
        del self._read[:size]
        return frame

    async def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Send a frame that h2 knows nothing of."""
        self.writer.write(
            struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload
        )
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()

    def _headers(self, stream: int) -> dict[str, str]:
        found: dict[str, str] = {}
        for event in self.seen:
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                found |= {_text(key): _text(value) for key, value in event.headers}
            elif isinstance(event, h2.events.StreamReset):
                found[":reset"] = str(int(event.error_code))
        return found


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
