"""A key in etcd that one of several processes holds by its lease."""

from __future__ import annotations

import contextlib

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.etcd_connection import EtcdConnection


class EtcdClaim:
    """A `Claim` on etcd. It has no task of its own: a process that hangs holds nothing for longer than its lease."""

    def __init__(self, etcd: EtcdConnection, key: str, value: bytes, *, ttl_s: int) -> None:
        self._etcd = etcd
        self._key = key
        self._value = value
        self._ttl_s = ttl_s
        self._lease: int | None = None

    async def hold(self) -> bool:
        """Take the key if nobody holds it, or renew it, and say whether it is held. Raises Unavailable."""
        if self._lease is not None and not await self._etcd.keep_alive(self._lease):
            self._lease = None
        if self._lease is None:
            self._lease = await self._etcd.grant(self._ttl_s)
        return await self._etcd.claim(self._key, self._value, self._lease)

    async def give_up(self) -> None:
        """Let another one have it at once. Never raises: without etcd the lease runs out by itself."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with contextlib.suppress(Unavailable):
                await self._etcd.revoke(lease)
