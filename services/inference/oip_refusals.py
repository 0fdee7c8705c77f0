"""What Lepton answers to those of Triton's RPCs that it does not serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

from lepton_ai.errors import Unsupported

Handler = Callable[[Any, Any, Any], Any]


def refuse(name: str) -> Handler:
    """A handler of a unary RPC that says so."""

    async def handler(self: Any, request: Any, context: Any) -> NoReturn:
        raise _refusal(name)

    return handler


def refuse_stream(name: str) -> Handler:
    """The same for a bidirectional stream."""

    async def handler(self: Any, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        if requests is not None:  # always: `yield` below makes this the generator that gRPC expects
            raise _refusal(name)
        yield

    return handler


def _refusal(name: str) -> Unsupported:
    return Unsupported(
        f"{name} is not served by Lepton.",
        fix="Models are managed through the registry service, and tensors travel in messages.",
    )
