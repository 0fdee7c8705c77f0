"""The store that replicas share: what is needed of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Written:
    """A value on its way into the store."""

    key: str
    value: bytes
    ttl_s: float


class SharedStore(Protocol):
    """Values that come and go, and groups of them that are dropped together.

    A group has a generation, a number that grows when the group is dropped; values are stored under keys that begin
    with "GROUP/GENERATION/". Every method may raise Unavailable, and may take long: who calls it sees to that.
    """

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Values by key, None for those that are not there."""

    async def put(self, values: Sequence[Written]) -> None:
        """Store values for their time at most; the store may drop them at any time."""

    async def generations(self, groups: Sequence[str]) -> Sequence[int]:
        """The generations of these groups; 0 for one that was never dropped."""

    async def drop(self, group: str) -> int:
        """Begin the next generation of a group, tell all who listen, and free what it held. Gives the generation."""

    def dropped(self) -> AsyncGenerator[str]:
        """Groups as they are dropped, by whomever; "" at once when it listens. Ends when the connection does."""

    async def close(self) -> None:
        """Let go of the connection."""
