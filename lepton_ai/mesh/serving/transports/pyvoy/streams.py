"""The two directions of a stream: requests read when the handler asks for them, answers sent together when they can."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import grpc

from lepton_ai.mesh.serving.transports.pyvoy.call import Call, Receive
from lepton_ai.mesh.serving.transports.pyvoy.wire import MessageReader, Refused, frame

_MAX_UNSENT_BYTES = 64 << 10
"""Answers beyond this wait for Envoy, and Envoy for the client, before the handler may write more."""


class Incoming:
    """The requests of a call as an async iterator.

    What the handler does not ask for stays with Envoy, whose flow control slows the client down. A wait for the next
    request can be cancelled, which loses none.
    """

    __slots__ = ("_call", "_finished", "_max_bytes", "_messages", "_receive", "_receiving", "_waiter")

    def __init__(self, call: Call, receive: Receive) -> None:
        self._call = call
        self._receive = receive
        self._messages = MessageReader(call.max_bytes)
        self._receiving = False
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                message = self._messages.take()
                if message is None and self._finished and not self._messages.empty:
                    raise Refused(grpc.StatusCode.INTERNAL, "The call ended within a message.")
            except Refused as refused:
                self._call.end(refused.code, refused.text)
                await self._call.loop.create_future()  # until the handler's task is cancelled
                raise
            if message is not None:
                return self._call.method.decode(message)
            if self._finished:
                raise StopAsyncIteration
            await self._more()

    async def read(self) -> Any:
        """The next request, grpc.aio.EOF after the last one."""
        try:
            return await anext(self)
        except StopAsyncIteration:
            return grpc.aio.EOF

    async def _more(self) -> None:
        if not self._receiving:
            self._receiving = True
            # Never awaited itself: cancelling pyvoy's future would lose what it brings.
            asyncio.ensure_future(self._receive()).add_done_callback(self._received)
        self._waiter = self._call.loop.create_future()
        await self._waiter

    def _received(self, received: asyncio.Future[Any]) -> None:
        self._receiving = False
        event = received.result()
        if event["type"] == "http.disconnect":
            self._finished = True
            self._call.leave()
        else:
            if body := event["body"]:
                self._messages.feed(body)
            self._finished = not event["more_body"]
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outgoing:
    """The answers of a call: those that are ready at the same time leave in one piece."""

    __slots__ = ("_bytes", "_call", "_flushing", "_ready", "_room")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._ready: list[bytes] = []
        self._bytes = 0
        self._flushing = False
        self._room: asyncio.Future[None] | None = None

    async def write(self, message: Any) -> None:
        """Send an answer; waits while too many bytes are unsent."""
        call = self._call
        if call.ended:
            raise asyncio.InvalidStateError("the call has ended")
        try:
            framed = frame(call.method.encode(message), call.max_bytes)
        except Refused as refused:
            call.end(refused.code, refused.text)
            await call.loop.create_future()  # until the handler's task is cancelled
        self._ready.append(framed)
        self._bytes += len(framed)
        if not self._flushing:
            self._flushing = True
            call.loop.call_soon(self._flush)
        while self._bytes >= _MAX_UNSENT_BYTES:
            if self._room is None or self._room.done():
                self._room = call.loop.create_future()
            await asyncio.shield(self._room)

    def rest(self) -> bytes:
        """What is not sent yet, to be sent with the status."""
        body = b"".join(self._ready)
        self._ready.clear()
        self._bytes = 0
        return body

    def _flush(self) -> None:
        if not self._ready or self._call.ended:
            self._flushing = False
            return
        body = b"".join(self._ready)
        self._ready.clear()
        asyncio.ensure_future(self._call.send_body(body)).add_done_callback(self._flushed)

    def _flushed(self, sent: asyncio.Future[None]) -> None:
        if sent.cancelled() or sent.exception() is not None:  # the client has gone
            self._flushing = False
            self._call.leave()
            return
        self._bytes = sum(map(len, self._ready))
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._flush()
