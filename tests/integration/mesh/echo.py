"""A service with one method of every gRPC shape, whose handlers do what a test says with every message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

SERVICE = "lepton.test.Echo"
SHAPES = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")

Act = Callable[[str], Awaitable[str]]


async def repeat(text: str) -> str:
    return text


class Echo:
    """Answers with what `act` makes of each message; the UnaryStream shape answers once for every letter."""

    def __init__(self, act: Act = repeat) -> None:
        self._act = act

    async def unary_unary(self, request: StringValue, context: Any) -> StringValue:
        return StringValue(value=await self._act(request.value))

    async def unary_stream(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        for letter in request.value:
            yield StringValue(value=await self._act(letter))

    async def stream_unary(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return StringValue(value="".join([await self._act(request.value) async for request in requests]))

    async def stream_stream(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield StringValue(value=await self._act(request.value))


def add_echo(servicer: Echo, server: grpc.aio.Server) -> None:
    wire: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(servicer.unary_unary, **wire),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(servicer.unary_stream, **wire),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(servicer.stream_unary, **wire),
        "StreamStream": grpc.stream_stream_rpc_method_handler(servicer.stream_stream, **wire),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class EchoStub:
    """The client of Echo; `send` calls any shape with the letters of a text and returns the answers in one text."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        wire: dict[str, Any] = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.UnaryUnary = channel.unary_unary(f"/{SERVICE}/UnaryUnary", **wire)
        self.UnaryStream = channel.unary_stream(f"/{SERVICE}/UnaryStream", **wire)
        self.StreamUnary = channel.stream_unary(f"/{SERVICE}/StreamUnary", **wire)
        self.StreamStream = channel.stream_stream(f"/{SERVICE}/StreamStream", **wire)

    async def send(self, shape: str, text: str, **options: Any) -> str:
        whole, letters = StringValue(value=text), [StringValue(value=letter) for letter in text]
        if shape == "UnaryUnary":
            return str((await self.UnaryUnary(whole, **options)).value)
        if shape == "StreamUnary":
            return str((await self.StreamUnary(iter(letters), **options)).value)
        call = (
            self.UnaryStream(whole, **options)
            if shape == "UnaryStream"
            else self.StreamStream(iter(letters), **options)
        )
        return "".join([answer.value async for answer in call])
