"""The methods that a server has, inside its layers, by their paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_ai.mesh.serving.handlers import Behavior, Layer, layered
from lepton_ai.mesh.serving.transports.pyvoy.wire import Content

_MAX_KNOWN = 1024
"""How many methods are kept, as generic handlers answer to any name; further ones are looked up at each call."""


@dataclass(frozen=True, slots=True)
class Method:
    """How one method is called: bytes (large ones as a view of what has arrived) in, bytes out."""

    request_streaming: bool
    response_streaming: bool
    behavior: Behavior
    decode: Callable[[Content], Any]
    encode: Callable[[Any], bytes]


@dataclass(frozen=True)
class _Details:
    """What grpc's generic handlers are asked with."""

    method: str
    invocation_metadata: tuple[()] = ()


class Methods:
    """What add_…Servicer_to_server of generated code is given: the same two methods as grpc.aio's server has."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._generic: list[Any] = []
        self._known: dict[str, Method] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Called by generated code."""
        self._generic += handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Called by generated code, which adds the same handlers as generic ones before."""

    def find(self, path: str) -> Method | None:
        """The method at "/pkg.Service/Method", if there is one and its handler is a coroutine or async generator."""
        known = self._known.get(path)
        if known is not None:
            return known
        for generic in self._generic:
            handler = generic.service(_Details(path))
            if handler is not None:
                return self._keep(path, handler)
        return None

    def _keep(self, path: str, handler: Any) -> Method | None:
        wrapped = layered(path, handler, self._layers)
        if wrapped is handler:
            return None
        shape = f"{_cardinality(wrapped.request_streaming)}_{_cardinality(wrapped.response_streaming)}"
        method = Method(
            wrapped.request_streaming,
            wrapped.response_streaming,
            getattr(wrapped, shape),
            wrapped.request_deserializer or bytes,
            wrapped.response_serializer or _as_it_is,
        )
        if len(self._known) < _MAX_KNOWN:
            self._known[path] = method
        return method


def _cardinality(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _as_it_is(message: Any) -> Any:
    return message
