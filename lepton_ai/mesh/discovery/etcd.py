"""Shared state in etcd: keys, leased publications that come back, and watches that fail static."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from aetcd import rpc

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.etcd_claim import EtcdClaim
from lepton_ai.mesh.discovery.etcd_connection import EtcdConnection
from lepton_ai.mesh.discovery.login import EtcdLogin
from lepton_ai.mesh.discovery.view import View
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s

_NOTHING: Mapping[str, bytes] = {}
_log = logging.getLogger(__name__)

_RECONNECT_BASE_S = 0.1
_RECONNECT_MAX_S = 1.0
_SETTLE_MARGIN_S = 2.0
"""After an outage everybody registers again within the lease time plus this; until then a missing key is not
believed."""


class EtcdStore:
    """A `StateStore` on an etcd server (any 3.4 or newer).

    Constructing it does no I/O, and etcd may be absent: publications wait, watches show nothing yet, and both catch up
    within a second or two after it starts. `get`, `list`, `put` and `delete` raise Unavailable within
    `request_timeout_s`.
    """

    def __init__(
        self,
        address: str,
        *,
        login: EtcdLogin | None = None,
        lease_ttl_s: int = 5,
        request_timeout_s: float = 2.0,
        relist_interval_s: float = 30.0,
    ) -> None:
        """`address` is HOST:PORT or `unix:/PATH`; `login` is for an etcd that asks for a user."""
        self._etcd = EtcdConnection(address, request_timeout_s, login)
        self._lease_ttl_s = lease_ttl_s
        self._relist_interval_s = relist_interval_s
        self._publications: set[_EtcdPublication] = set()
        self._watches: set[_EtcdWatch] = set()
        self._claims: set[EtcdClaim] = set()

    async def get(self, key: str) -> bytes | None:
        """The value of a key, or None. Raises Unavailable."""
        answer = await self._etcd.kv("Range", rpc.RangeRequest(key=key.encode()))
        return bytes(answer.kvs[0].value) if answer.kvs else None

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        """All keys under a prefix, as of one moment. Raises Unavailable."""
        entries, _ = await self._etcd.entries(prefix)
        return entries

    async def put(self, key: str, value: bytes) -> None:
        """Write a lasting key. Raises Unavailable, and then it may or may not have been written."""
        await self._etcd.kv("Put", rpc.PutRequest(key=key.encode(), value=value))

    async def delete(self, key: str) -> None:
        """Delete a key if it is there. Raises Unavailable."""
        await self._etcd.kv("DeleteRange", rpc.DeleteRangeRequest(key=key.encode()))

    async def publish(self, key: str, value: bytes) -> _EtcdPublication:
        """Put a leased key and keep it alive until it is withdrawn. Returns at once."""
        publication = _EtcdPublication(self._etcd, key, value, ttl_s=self._lease_ttl_s)
        self._publications.add(publication)
        return publication

    def claim(self, key: str, value: bytes) -> EtcdClaim:
        """Stand for a key that one of several holds; closing the store gives it up."""
        claim = EtcdClaim(self._etcd, key, value, ttl_s=self._lease_ttl_s)
        self._claims.add(claim)
        return claim

    async def watch(self, prefix: str, *, remembered: Mapping[str, bytes] = _NOTHING) -> _EtcdWatch:
        """Start watching a prefix. Waits for the first view up to the request timeout, then returns in any case."""
        view = View(remembered)
        settle_s = self._lease_ttl_s + _SETTLE_MARGIN_S
        watch = _EtcdWatch(self._etcd, prefix, view, relist_interval_s=self._relist_interval_s, settle_s=settle_s)
        self._watches.add(watch)
        await watch.first_view()
        return watch

    async def close(self) -> None:
        """Withdraw all publications, give up all claims, end all watches, close the connection."""
        publications, self._publications = self._publications, set()
        watches, self._watches = self._watches, set()
        claims, self._claims = self._claims, set()
        await asyncio.gather(*(claim.give_up() for claim in claims))
        await asyncio.gather(*(publication.withdraw() for publication in publications))
        await asyncio.gather(*(watch.close() for watch in watches))
        await self._etcd.close()


class _EtcdPublication:
    """A leased key and the task that keeps it: renews the lease, and grants and puts again whatever was lost.

    Each has a lease of its own. Withdrawing revokes the lease, which deletes the key: no write still under way can
    bring the key back, and without etcd the lease simply runs out.
    """

    def __init__(self, etcd: EtcdConnection, key: str, value: bytes, *, ttl_s: int) -> None:
        self._etcd = etcd
        self._key = key
        self._value = value
        self._ttl_s = ttl_s
        self._lease: int | None = None
        self._updated = asyncio.Event()
        self._keeper = run_loop(self._keep, name=f"publish {key}")

    async def update(self, value: bytes) -> None:
        """Replace the value; it is put at once, or as soon as etcd is back."""
        self._value = value
        self._updated.set()

    async def withdraw(self) -> None:
        """Delete the key and stop renewing it. Never raises."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        lease, self._lease = self._lease, None
        if lease is not None:
            # Without etcd the lease, and the key with it, runs out by itself.
            with contextlib.suppress(Unavailable):
                await self._etcd.revoke(lease)

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._updated.clear()
            try:
                await self._renew()
                failures = 0
                pause_s = self._ttl_s / 3
            except Unavailable:
                failures += 1
                pause_s = backoff_s(failures, base_s=_RECONNECT_BASE_S, max_s=_RECONNECT_MAX_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._updated.wait()

    async def _renew(self) -> None:
        if self._lease is not None and not await self._etcd.keep_alive(self._lease):
            self._lease = None
        if self._lease is None:
            self._lease = await self._etcd.grant(self._ttl_s)
        await self._etcd.ensure(self._key, self._value, self._lease)


class _EtcdWatch:
    """A view of a prefix and the task that keeps it: lists, follows the changes from there, lists again in time.

    It lists again regularly because a watch cannot be trusted for ever (etcd's own robustness tests found lost events).
    A key that is missing from the list after an outage counts as gone only when everybody has had time to register
    again.
    """

    def __init__(
        self, etcd: EtcdConnection, prefix: str, view: View, *, relist_interval_s: float, settle_s: float
    ) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self._relist_interval_s = relist_interval_s
        self._settle_s = settle_s
        self._view = view
        self._connected = False
        self._outage = False
        self._revision = 0
        self._wiped = False
        self._held = False
        self._listed = asyncio.Event()
        self._settling: asyncio.TimerHandle | None = None
        self._follower = run_loop(self._follow, name=f"watch {prefix}")

    @property
    def entries(self) -> Mapping[str, bytes]:
        return self._view.entries

    @property
    def connected(self) -> bool:
        return self._connected

    def changes(self) -> AsyncIterator[Mapping[str, bytes]]:
        return self._view.changes()

    async def first_view(self) -> None:
        """Wait for the first list, at most the request timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._etcd.timeout_s):
                await self._listed.wait()

    async def close(self) -> None:
        self._follower.cancel()
        await asyncio.wait([self._follower])
        if self._settling is not None:
            self._settling.cancel()
        self._connected = False
        self._view.close()

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                await self._list()
                failures = 0
                await self._apply_changes()
            except Exception as error:
                failures += 1
                self._connected, self._outage = False, True
                if not isinstance(error, Unavailable):
                    raise
                await asyncio.sleep(backoff_s(failures, base_s=_RECONNECT_BASE_S, max_s=_RECONNECT_MAX_S))

    async def _list(self) -> None:
        entries, revision = await self._etcd.entries(self._prefix)
        # Revisions only grow, so a lower one means that the store has lost its data.
        self._wiped = revision < self._revision or (self._wiped and bool(self._view.doubtful))
        self._revision = revision
        self._view.relist(entries, after_outage=self._outage)
        if self._outage:
            self._settle_later()
        self._outage = False
        self._connected = True
        self._listed.set()

    async def _apply_changes(self) -> None:
        """Follow the changes until it is time for a new list."""
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(self._relist_interval_s),
                contextlib.aclosing(self._etcd.events(self._prefix, after_revision=self._revision)) as batches,
            ):
                async for self._revision, events in batches:
                    self._view.apply(events)

    def _settle_later(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(self._settle_s, self._settle)

    def _settle(self) -> None:
        alone = self._wiped and self._view.doubtful == self._view.entries.keys()
        if alone or self._held:
            # Nobody has published here again yet; perhaps the only writer is away too. Keep the known keys until some
            # time after the first one has come back.
            self._held = alone
            self._settle_later()
        elif self._connected:
            # Otherwise a new outage has begun: drop nothing, as the list that ends it starts the waiting time again.
            self._view.settle()
