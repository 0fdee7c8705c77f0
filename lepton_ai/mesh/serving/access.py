"""Who may call what: anybody may call the methods that are named as open; all others need a token."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lepton_ai.errors import Unauthenticated
from lepton_ai.mesh.serving.handlers import Behavior, Layer, Rpc, ServicerContext
from lepton_ai.mesh.serving.tokens import Tokens


def token_layer(tokens: Tokens, service: str, *, open_methods: Collection[str]) -> Layer:
    """Refuses calls of `service` (full, "pkg.Service") that show none of the tokens, except calls of `open_methods`.

    A method that is added later needs the token until it is named as open.
    """
    free = {f"{service}/{method}" for method in open_methods}

    def wrap(rpc: Rpc, behavior: Behavior) -> Behavior:
        if not rpc.method.startswith(f"{service}/") or rpc.method in free:
            return behavior

        async def call(request: Any, context: ServicerContext) -> Any:
            if tokens.identify(context.invocation_metadata()) is None:
                raise Unauthenticated(
                    "This changes the platform, and the call does not show the platform's token.",
                    reason="NO_TOKEN",
                    fix="Call as the user who started the platform, or set LEPTON_TOKEN or LEPTON_TOKEN_FILE: "
                    "`lepton up` puts the token into secrets/token of its run directory.",
                )
            return await behavior(request, context)

        return call

    return wrap
