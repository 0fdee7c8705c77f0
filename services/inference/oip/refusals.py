"""What Lepton answers to those of Triton's RPCs that it does not serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from lepton_ai.errors import Unsupported

Handler = Callable[[Any, Any, Any], Any]


def refuse(name: str) -> Handler:
    """A handler that refuses the RPC `name`; gRPC takes a coroutine for every shape of RPC."""

    async def handler(self: Any, request: Any, context: Any) -> NoReturn:
        raise _refusal(name)

    return handler


def _refusal(name: str) -> Unsupported:
    return Unsupported(
        f"{name} is not served by Lepton.",
        fix="Models are managed through the registry service, and tensors travel in messages.",
    )
