"""The lead among the registries on one database: the leader alone publishes, goes on with rollouts, collects files."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from lepton_ai.mesh.discovery.leader import Leadership


class DatabaseLeadership(Leadership, Protocol):
    """The lead, and the proof of it that each transaction of the leader's work begins with (`SqlStore.checked`)."""

    async def check(self, transaction: AsyncConnection) -> None:
        """Make sure in a writing transaction that this registry leads. Raises Unavailable."""
