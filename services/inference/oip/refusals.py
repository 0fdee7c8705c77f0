"""What Lepton answers to those of Triton's RPCs that would change the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from lepton_ai.errors import Unsupported

Handler = Callable[[Any, Any, Any], Any]

MODELS = "Models are managed through the registry service: `lepton deploy`, `lepton undeploy`."
MEMORY = "Tensors travel in messages: memory is shared between Lepton's own processes only."
TRACING = "Tracing is set where the service starts: LEPTON_TRACE_RATIO; a caller's sampled `traceparent` is followed."
LOGGING = "Logging is set where the service starts: LEPTON_LOG_LEVEL."


def refuse(name: str, instead: str) -> Handler:
    """A handler that refuses the RPC `name` and says what there is instead; gRPC takes a coroutine for every shape."""

    async def handler(self: Any, request: Any, context: Any) -> NoReturn:
        raise Unsupported(f"{name} is not served by Lepton.", fix=instead)

    return handler
