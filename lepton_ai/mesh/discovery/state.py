"""The seam to shared state: a small key-value store with leases and watches.

`lepton_ai.mesh.discovery.etcd.EtcdStore` is the real one, `lepton_ai.testing.MemoryStore` the fake; the same behaviour
tests run on both. Keys are '/'-separated strings, values JSON.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Protocol

_NOTHING: Mapping[str, bytes] = MappingProxyType({})

ENDPOINTS = "/lepton/endpoints/"
"""…/<service>/<host:port> → {"Addr": …, "Metadata": {…}}; leased. etcd's own gRPC naming layout."""
DEPLOYMENTS = "/lepton/deployments/"
"""…/<model> → lepton.v1.Deployment as JSON; written by the registry alone."""
SERVING = "/lepton/serving/"
"""…/<host:port> → lepton.v1.ServingState as JSON; leased by the inference replica."""


class Publication(Protocol):
    """A key that lives as long as this process does: leased, kept alive, put again when it was lost."""

    async def update(self, value: bytes) -> None:
        """Replace the value. While the store is away the new value is kept and put as soon as it is back."""

    async def withdraw(self) -> None:
        """Delete the key and stop renewing it. Never raises: without the store the lease runs out by itself."""


class Watch(Protocol):
    """A live view of all keys under a prefix. Fails static: while the store is away, the last known view stands."""

    @property
    def entries(self) -> Mapping[str, bytes]:
        """Key (whole) → value, as last known."""

    @property
    def connected(self) -> bool:
        """Whether the view is being kept up to date right now."""

    def changes(self) -> AsyncIterator[Mapping[str, bytes]]:
        """Yields the whole view at once and again after every change (changes in between may be skipped)."""

    async def close(self) -> None:
        """Stop watching; pending `changes()` end."""


class Claim(Protocol):
    """A key that at most one process holds at a time, by its lease: who holds it leads."""

    async def hold(self) -> bool:
        """Take the key if nobody holds it, or renew it, and say whether it is held. To be called more often than every
        lease time. Raises Unavailable when the store cannot be reached, and then it may or may not be held."""


class StateStore(Protocol):
    """Shared state of the platform."""

    async def get(self, key: str) -> bytes | None:
        """The value of a key. Raises Unavailable when the store cannot be reached within the request timeout."""

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        """All keys under a prefix. Raises Unavailable."""

    async def put(self, key: str, value: bytes) -> None:
        """Write a lasting key. Raises Unavailable, and then it may or may not have been written."""

    async def delete(self, key: str) -> None:
        """Delete a key if it is there. Raises Unavailable."""

    async def publish(self, key: str, value: bytes) -> Publication:
        """Put a leased key and keep it alive. Returns at once; while the store is away, the put waits."""

    def claim(self, key: str, value: bytes) -> Claim:
        """Stand for a key that one of several holds. Does nothing yet; closing the store gives it up.

        `value` names who holds it. Whoever comes back with the same value, after a kill, takes its own place at once.
        """

    async def watch(self, prefix: str, *, remembered: Mapping[str, bytes] = _NOTHING) -> Watch:
        """Start watching a prefix. Waits for the first view up to the request timeout, then returns in any case.

        `remembered` is what an earlier process saw: while the store is away it serves as the last known view.
        """

    async def close(self) -> None:
        """Withdraw all publications, end all watches, close the connection."""
