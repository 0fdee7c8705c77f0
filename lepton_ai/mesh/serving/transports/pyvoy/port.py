"""Answers the calls of a port: finds their methods, runs their handlers, ends them at their deadlines."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import grpc

from lepton_ai.mesh.serving.transports.pyvoy.call import Call, Event, Receive, Send
from lepton_ai.mesh.serving.transports.pyvoy.methods import Method, Methods
from lepton_ai.mesh.serving.transports.pyvoy.streams import Incoming, Outgoing
from lepton_ai.mesh.serving.transports.pyvoy.wire import (
    CALL_ID,
    COMPRESSED,
    PREFIX_BYTES,
    Content,
    MessageReader,
    Refused,
    cut,
    read_timeout,
)

logger = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
_NO_METHOD = Method(False, False, None, bytes, bytes)  # type: ignore[arg-type]  # never called


class Port:
    """All calls of one port. `serve` is what ASGI calls."""

    def __init__(self, methods: Methods, *, max_bytes: int, max_calls: int, default_timeout_s: float) -> None:
        self._methods = methods
        self._max_bytes = max_bytes
        self._max_calls = max_calls
        self._default_timeout_s = default_timeout_s
        self._calls: dict[bytes, Call] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._gone = b""
        self.closed = False
        """Whether calls are refused, as the process ends."""

    async def serve(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one call."""
        headers = dict(scope["headers"])
        method = self._methods.find(scope["path"])
        call = Call(method or _NO_METHOD, scope, send, max_bytes=self._max_bytes)
        try:
            timeout_s = self._admit(scope, headers, method)
        except Refused as refused:
            call.end(refused.code, refused.text)
            return
        timer: asyncio.TimerHandle | None = None
        if timeout_s is not None:
            call.deadline_s = call.loop.time() + timeout_s
            timer = call.loop.call_at(call.deadline_s, call.expire)
        call_id = headers[CALL_ID]
        self._calls[call_id] = call
        if len(self._calls) == 1:
            self._idle.clear()
        try:
            await self._run(call, receive)
        finally:
            if timer is not None:
                timer.cancel()
            del self._calls[call_id]
            if not self._calls:
                self._idle.set()
            call.closed()

    @property
    def in_flight(self) -> int:
        """Calls whose handlers have not ended."""
        return len(self._calls)

    async def until_idle(self) -> None:
        """Wait until there is none."""
        await self._idle.wait()

    def cut(self) -> None:
        """End all calls."""
        for call in tuple(self._calls.values()):
            call.end(grpc.StatusCode.UNAVAILABLE, "The service is stopping.")

    def watch_gone(self, pipe: int) -> None:
        """Read from `pipe` the ids of calls whose clients have left, a line each."""
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._read_gone, pipe)

    def _read_gone(self, pipe: int) -> None:
        *lines, self._gone = (self._gone + os.read(pipe, _READ_BYTES)).split(b"\n")
        for line in lines:
            call = self._calls.get(line)
            if call is not None:
                call.leave()

    def _admit(self, scope: Event, headers: dict[bytes, bytes], method: Method | None) -> float | None:
        """The call's timeout. Raises Refused for what is no call of ours, or one too many."""
        if scope["method"] != "POST" or not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            raise Refused(grpc.StatusCode.INTERNAL, "This port answers gRPC only.")
        if headers.get(b"te") != b"trailers":  # without them there is no place for the status of an answered call
            raise Refused(grpc.StatusCode.INTERNAL, "The call does not say that it takes trailers (te: trailers).")
        if self.closed:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "The service is stopping.")
        if method is None:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        if len(self._calls) >= self._max_calls:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
        if headers.get(b"grpc-encoding", b"identity") != b"identity":
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, COMPRESSED)
        timeout = headers.get(b"grpc-timeout")
        return None if timeout is None else read_timeout(timeout)

    async def _run(self, call: Call, receive: Receive) -> None:
        method = call.method
        request: Any
        try:
            if method.request_streaming:
                request = Incoming(call, receive)
            else:
                raw = await self._read_one(call, receive)
                if raw is None or call.ended:
                    return
                request = method.decode(raw)
            if method.response_streaming:
                call.outgoing = Outgoing(call)
            call.finish(await _handled(call, request))
        except Refused as refused:
            call.end(refused.code, refused.text)
        except grpc.aio.AbortError:
            call.finish(None)
        except asyncio.CancelledError:  # by its client, its deadline or our shutdown; nobody is left to be told of it
            call.end(grpc.StatusCode.CANCELLED, "The call was cancelled.")
        except Exception as error:  # the layers let no error through but in methods that they do not wrap
            logger.error("%s failed", call.scope["path"], exc_info=error)
            call.end(grpc.StatusCode.UNKNOWN, "The call failed.")

    async def _read_one(self, call: Call, receive: Receive) -> Content | None:
        """The one message of a call; None when its client left before it was there.

        Nothing cancels this: whatever ends the call early ends its HTTP/2 stream, and so what is received.
        """
        event = await receive()
        if event["type"] == "http.disconnect":
            call.leave()
            return None
        body: bytes = event["body"]
        size = len(body) - PREFIX_BYTES
        # The usual case: one piece, whose prefix says that it is not compressed and of this very size.
        if not event["more_body"] and int.from_bytes(body[:PREFIX_BYTES], "big") == size <= self._max_bytes:
            return cut(body, PREFIX_BYTES, len(body))
        return await self._assemble(call, body, receive, more=event["more_body"])

    async def _assemble(self, call: Call, body: bytes, receive: Receive, *, more: bool) -> Content | None:
        """The message of a call that comes in pieces, in the time that calls without a deadline are given."""
        messages = MessageReader(self._max_bytes)
        timer = call.loop.call_later(self._default_timeout_s, call.expire) if call.deadline_s is None else None
        try:
            messages.feed(body)
            while (message := messages.take()) is None and more:
                event = await receive()
                if event["type"] == "http.disconnect":
                    call.leave()
                    return None
                messages.feed(event["body"])
                more = event["more_body"]
        finally:
            if timer is not None:
                timer.cancel()
        if message is None:
            raise Refused(grpc.StatusCode.INTERNAL, "The call ended before its message was there.")
        return message


async def _handled(call: Call, request: Any) -> Any:
    """What the handler answers; only while it runs can its call be cancelled."""
    call.task = asyncio.current_task()
    try:
        return await call.method.behavior(request, call)  # type: ignore[arg-type]  # a ServicerContext in all but base
    finally:
        call.task = None
