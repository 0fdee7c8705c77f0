"""Drift of versions as a client reads it."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_ai.client.connections import BlockingClient, ConnectedClient
from lepton_ai.v1 import drift_pb2, drift_pb2_grpc


class Drift:
    """The part of `AsyncClient` for drift."""

    async def drift(self: ConnectedClient, model: str) -> Sequence[drift_pb2.VersionDrift]:
        """Whether the versions of a model answer as they did after their deployment, the newest first.

        Raises NotFound for a model none of whose predictions were heard of.
        """
        request = drift_pb2.GetDriftRequest(model=model)
        found: drift_pb2.GetDriftResponse = await self._connections.call(
            "health",
            lambda channel, left_s: drift_pb2_grpc.DriftServiceStub(channel).GetDrift(request, timeout=left_s),
            self._timeout_s,
        )
        return list(found.versions)


class BlockingDrift:
    """The same of `Client`."""

    def drift(self: BlockingClient, model: str) -> Sequence[drift_pb2.VersionDrift]:
        """See AsyncClient.drift."""
        found: Sequence[drift_pb2.VersionDrift] = self._run("drift", model)
        return found
