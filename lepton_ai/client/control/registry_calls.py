"""What the parts of a client that talk to the registry need of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from lepton_ai.client.connections import Connections
from lepton_ai.references import parse_model_ref
from lepton_ai.v1 import registry_pb2

T = TypeVar("T")


class RegistryClient(Protocol):
    """A client that calls the registry and can show its token."""

    _connections: Connections
    _proof: Any
    _timeout_s: float

    async def _registry(
        self, invoke: Callable[[Any, float], Awaitable[T]], timeout_s: float, *, idempotent: bool = True
    ) -> T: ...


async def get_version(client: RegistryClient, model: str) -> registry_pb2.ModelVersion:
    """A pushed version (NAME: the newest). Raises NotFound."""
    request = registry_pb2.GetVersionRequest(model=parse_model_ref(model))
    version: registry_pb2.ModelVersion = await client._registry(
        lambda stub, left_s: stub.GetVersion(request, timeout=left_s), client._timeout_s
    )
    return version
