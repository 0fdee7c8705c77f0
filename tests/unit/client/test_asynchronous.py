"""What the client shows to the registry."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn, cast

import pytest

from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.credentials import actor_metadata, token_metadata
from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.calling.pool import ServicePool
from services.registry.servicer import OPEN_METHODS


class Called(Exception):
    """Ends a call as soon as it is seen."""


class Registry:
    """A pool of one channel that notes the first call and what it carries."""

    def __init__(self) -> None:
        self.method = ""
        self.metadata: Any = None

    def unary_unary(self, path: str, *serializers: Any, **options: Any) -> Callable[..., NoReturn]:
        return partial(self._note, path)

    unary_stream = stream_unary = stream_stream = unary_unary

    def _note(self, path: str, request: Any, *, timeout: float, metadata: Any = None) -> NoReturn:
        self.method, self.metadata = path.rpartition("/")[2], metadata
        raise Called

    async def call(self, invoke: Callable[[Any, float], Awaitable[Any]], *, timeout_s: float, **_: object) -> Any:
        return await invoke(self, timeout_s)

    async def close(self) -> None:
        """Nothing is open."""


CHANGES: dict[str, Callable[[AsyncClient], Awaitable[Any]]] = {
    "Deploy": lambda client: client.deploy("m"),
    "Undeploy": lambda client: client.undeploy("m"),
    "SetAlias": lambda client: client.set_alias("m", "staging", 1),
    "DeleteAlias": lambda client: client.delete_alias("m", "staging"),
    "CheckStorage": lambda client: client.check_storage(),
}


@pytest.mark.parametrize("method", CHANGES)
async def test_what_the_registry_does_not_do_for_everybody_shows_the_token(method: str) -> None:
    registry = Registry()
    async with AsyncClient(Addresses(registry="127.0.0.1:1", token="secret")) as client:
        client._connections.pools["registry"] = cast("ServicePool", registry)
        with pytest.raises(Called):
            await CHANGES[method](client)
    assert registry.method == method
    assert method not in OPEN_METHODS
    assert registry.metadata == token_metadata("secret") + actor_metadata(os.environ)


@pytest.mark.parametrize("token", ["schlüssel", "two\nlines"])
def test_a_token_that_no_header_can_hold_is_refused(token: str) -> None:
    with pytest.raises(FailedPrecondition, match="characters beyond ASCII"):
        token_metadata(token)
