"""One call: what its handler sees as the context, how it is answered, and how it ends before its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from lepton_ai.mesh.serving.transports.pyvoy.methods import Method
from lepton_ai.mesh.serving.transports.pyvoy.wire import (
    Header,
    Metadatum,
    Refused,
    frame,
    read_metadata,
    status_headers,
    write_metadata,
)

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Event], Awaitable[None]]

_CONTENT_TYPE: Header = (b"content-type", b"application/grpc")
_ACCEPT: Header = (b"grpc-accept-encoding", b"identity")
_START: Event = {"type": "http.response.start", "status": 200, "headers": [_CONTENT_TYPE], "trailers": True}
_OK = 0
_OK_TRAILERS: Event = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_UNKNOWN: int = grpc.StatusCode.UNKNOWN.value[0]


class Call:
    """The state of one call, and its `grpc.aio.ServicerContext`.

    Events for Envoy are queued when `send` is called; what it returns is awaited only where there may be too many.
    """

    __slots__ = (
        "_callbacks",
        "_code",
        "_details",
        "_initial",
        "_metadata",
        "_send",
        "_trailing",
        "deadline_s",
        "ended",
        "left",
        "loop",
        "max_bytes",
        "method",
        "outgoing",
        "scope",
        "started",
        "task",
    )

    def __init__(self, method: Method, scope: Event, send: Send, *, max_bytes: int) -> None:
        self.method = method
        self.scope = scope
        self.max_bytes = max_bytes
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.task: asyncio.Task[Any] | None = None
        """The handler's, once it has begun."""
        self.deadline_s: float | None = None
        """In the time of the loop."""
        self.started = False
        """Whether the headers of the answer are on their way."""
        self.ended = False
        """Whether the status is on its way, or nobody is there to get it."""
        self.left = False
        """Whether the client has gone."""
        self.outgoing: Any = None
        """The `Outgoing` of a stream of answers."""
        self._send = send
        self._code: Any = None
        self._details: str | bytes = ""
        self._trailing: Sequence[Metadatum] = ()
        self._initial: list[Header] | None = None
        self._metadata: tuple[Metadatum, ...] | None = None
        self._callbacks: list[Callable[[Any], None]] | None = None

    # What handlers and layers use; names and meanings are those of grpc.aio.ServicerContext.

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """What the client sent; keys that end with -bin have bytes as values."""
        if self._metadata is None:  # every layer asks for it
            self._metadata = read_metadata(self.scope["headers"])
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds to the client's deadline, ≥ 0; None without one."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - self.loop.time())

    def set_trailing_metadata(self, metadata: Sequence[Metadatum]) -> None:
        """What to send with the status."""
        self._trailing = metadata

    def trailing_metadata(self) -> Sequence[Metadatum]:
        """What was set."""
        return self._trailing

    def set_code(self, code: grpc.StatusCode | int) -> None:
        """The status to end with."""
        self._code = code

    def code(self) -> Any:
        """The code that was set, if any."""
        return self._code

    def set_details(self, details: str) -> None:
        """The status's text."""
        self._details = details

    def details(self) -> str | bytes:
        """The text that was set, else an empty one."""
        return self._details

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[Metadatum] = ()
    ) -> NoReturn:
        """End the call with this status. Raises grpc.aio.AbortError."""
        self._code, self._details = code, details
        if trailing_metadata:
            self._trailing = trailing_metadata
        raise grpc.aio.AbortError

    async def send_initial_metadata(self, metadata: Sequence[Metadatum]) -> None:
        """Headers of the answer; they travel with its first message or its status."""
        if self.started:
            raise RuntimeError("the answer has begun, so its headers cannot be set any more")
        self._initial = write_metadata(metadata)

    async def write(self, message: Any) -> None:
        """Send one of the answers of a stream. Returns at once unless too many of them are unsent."""
        await self.outgoing.write(message)

    def cancelled(self) -> bool:
        """Whether the client has gone."""
        return self.left

    def done(self) -> bool:
        """Whether the status is on its way."""
        return self.ended

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have `callback(context)` called when the handler has ended."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def peer(self) -> str:
        """The client's address, as gRPC writes it."""
        host, port = self.scope["client"] or ("unknown", 0)
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"

    # How a call ends.

    def finish(self, answer: bytes | None) -> None:
        """Send a unary answer and the status that the handler has left."""
        if self.ended:
            return
        code = self._number()
        if code == _OK and answer is not None:
            try:
                body = frame(answer, self.max_bytes)
            except Refused as refused:
                self.end(refused.code, refused.text)
                return
            self._start()
            self._send({"type": "http.response.body", "body": body})
        self._finish_status(code)

    def end(self, code: grpc.StatusCode, text: str) -> None:
        """End the call with a status of the transport's own, and have its handler cancelled."""
        if not self.ended:
            self._code, self._details = code, text
            self._finish_status(self._number())
        self._cancel()

    def expire(self) -> None:
        """End the call as its deadline has passed."""
        self.end(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def leave(self) -> None:
        """Note that the client has gone, and have the handler cancelled."""
        if not self.left:
            self.left = self.ended = True
            self._cancel()

    def closed(self) -> None:
        """Tell those who wanted to know that the handler has ended."""
        for callback in self._callbacks or ():
            callback(self)

    def send_body(self, body: bytes) -> Awaitable[None]:
        """Send a part of a stream of answers; await the result before there are too many."""
        self._start()
        return self._send({"type": "http.response.body", "body": body, "more_body": True})

    def _number(self) -> int:
        code = self._code
        if code is None:
            return _OK
        return (
            int(code.value[0]) if isinstance(code, grpc.StatusCode) else code if code in _CODE_BY_NUMBER else _UNKNOWN
        )

    def _start(self) -> None:
        if self.started:
            return
        self.started = True
        self._send(_START if self._initial is None else {**_START, "headers": [_CONTENT_TYPE, *self._initial]})

    def _finish_status(self, code: int) -> None:
        self.ended = True
        if code == _OK and not self._trailing and not self._details:
            trailers = _OK_TRAILERS
        else:
            trailers = {"type": "http.response.trailers", "headers": self._status(code)}
        rest = b"" if self.outgoing is None else self.outgoing.rest()
        if rest:
            self._start()
        if self.started:
            if self.outgoing is not None:
                self._send({"type": "http.response.body", "body": rest})
            self._send(trailers)
            return
        # No message was sent: the status travels in the headers ("trailers-only").
        headers = [_CONTENT_TYPE, _ACCEPT, *(self._initial or ()), *trailers["headers"]]
        self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._send({"type": "http.response.body", "body": b""})

    def _status(self, code: int) -> list[Header]:
        try:
            return status_headers(code, self._details, self._trailing)
        except (ValueError, AttributeError):  # trailing metadata that no header can hold
            return status_headers(_UNKNOWN, "The trailing metadata cannot be sent.", ())

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()
