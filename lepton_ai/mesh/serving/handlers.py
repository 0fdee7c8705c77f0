"""Wraps gRPC method handlers of all four shapes in layers, each an ordinary coroutine around the call.

grpc.aio knows eight kinds of handlers: four shapes, and for each streaming answer a generator or a coroutine that
writes. Here all become one: a coroutine (request or requests, context) → answer or None. So a layer is written once,
failures and cancellation reach it as exceptions in the handler's own task, and encoding and decoding happen inside the
layers too (outside, grpc.aio turns a message that does not parse into UNKNOWN with the exception's text).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from lepton_ai.errors import InvalidInput

ServicerContext = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[[Any, ServicerContext], Awaitable[Any]]

_MAX_WRAPPED = 1024
"""How many wrapped methods are kept, as generic handlers answer to any name; further ones are wrapped at each call."""


@dataclass(frozen=True)
class Rpc:
    """What a layer knows about the method it wraps."""

    method: str
    """pkg.Service/Method"""
    request_streaming: bool
    response_streaming: bool


class Layer(Protocol):
    """Wraps the behaviour of a method; called once for each method, not for each call."""

    def __call__(self, rpc: Rpc, behavior: Behavior) -> Behavior: ...


class LayeredInterceptor(grpc.aio.ServerInterceptor):
    """Applies layers to every handler of a grpc.aio server: cheaper than an interceptor for each of them."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = layered(method, handler, self._layers)
        if len(self._wrapped) < _MAX_WRAPPED:
            self._wrapped[method] = handler, wrapped
        return wrapped


def layered(method: str, handler: Any, layers: Sequence[Layer]) -> Any:
    """The handler of "/pkg.Service/Method" inside layers, the first one outermost.

    A handler of an unknown kind, neither coroutine nor async generator, is returned as it is.
    """
    rpc = Rpc(method.removeprefix("/"), handler.request_streaming, handler.response_streaming)
    behavior = _as_coroutine(rpc, handler)
    if behavior is None:
        return handler
    for layer in reversed(layers):
        behavior = layer(rpc, behavior)
    build = _BUILDERS[rpc.request_streaming, rpc.response_streaming]
    decode, encode = _decoder(rpc, handler.request_deserializer), _encoder(rpc, handler.response_serializer)
    return build(behavior, request_deserializer=decode, response_serializer=encode)


_BUILDERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


@dataclass(frozen=True)
class _Undecodable:
    """Stands in for a request that does not parse, and carries the error into the layers, where it is raised."""

    error: InvalidInput


def _as_coroutine(rpc: Rpc, handler: Any) -> Behavior | None:
    """The handler's behaviour as a coroutine; None when it is neither coroutine nor async generator."""
    name = f"{'stream' if rpc.request_streaming else 'unary'}_{'stream' if rpc.response_streaming else 'unary'}"
    behavior = getattr(handler, name)
    if rpc.response_streaming and inspect.isasyncgenfunction(behavior):
        return _checked(_written(behavior))
    if not inspect.iscoroutinefunction(behavior):
        return None
    if rpc.response_streaming or handler.response_serializer is None:
        return _checked(behavior)
    return _checked(_encoded(behavior, handler.response_serializer))


def _checked(behavior: Behavior) -> Behavior:
    async def call(request: Any, context: ServicerContext) -> Any:
        if type(request) is _Undecodable:
            raise request.error
        return await behavior(request, context)

    return call


def _written(generate: Callable[[Any, ServicerContext], Any]) -> Behavior:
    """A generator of answers as a coroutine that writes them; the generator is closed at once when the call ends."""

    async def call(request: Any, context: ServicerContext) -> None:
        async with aclosing(generate(request, context)) as answers:
            async for answer in answers:
                await context.write(answer)

    return call


def _encoded(behavior: Behavior, encode: Callable[[Any], bytes]) -> Behavior:
    async def call(request: Any, context: ServicerContext) -> bytes:
        return encode(await behavior(request, context))

    return call


def _encoder(rpc: Rpc, encode: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Unary answers leave the layers encoded; those of streams are encoded by context.write, inside the layers. What
    is bytes already goes out as it is: a stream that joins answers has encoded each of them."""
    if encode is None or not rpc.response_streaming:
        return None
    return lambda message: message if type(message) is bytes else encode(message)


def _decoder(rpc: Rpc, decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if decode is None:
        return None

    def decode_safely(raw: bytes) -> Any:
        try:
            return decode(raw)
        except Exception:  # noqa: BLE001 - whatever a decoder raises means the same, and its text may hold the payload
            error = InvalidInput(
                f"The bytes sent to {rpc.method} are not a valid request message.",
                fix="Send the message that the service's contract describes; reflection shows it.",
                reason="UNDECODABLE_REQUEST",
            )
        if rpc.request_streaming:  # decoded where the handler reads, inside the layers
            raise error
        return _Undecodable(error)

    return decode_safely
