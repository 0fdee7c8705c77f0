"""Shared state in etcd: keys, leased publications that come back, and watches that fail static.

Talks to etcd through aetcd's generated stubs, not through aetcd's client: that one has no keep-alive loop, and its
watch dies silently when its stream ends without an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

import grpc
from aetcd import rpc

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.view import View
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s

T = TypeVar("T")

_Batch = tuple[int, list[tuple[str, bytes | None]]]
"""The revision of the store, and the changes: key and value, None for a deletion."""

_NOTHING: Mapping[str, bytes] = {}
_log = logging.getLogger(__name__)

_RECONNECT_BASE_S = 0.1
_RECONNECT_MAX_S = 1.0
_SETTLE_MARGIN_S = 2.0
"""After an outage everybody is registered again within the lease time and this; only then is a missing key believed."""

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),
    # etcd tolerates one ping per 5 s (its --grpc-keepalive-min-time). The pings are what notices a hung etcd or a dead
    # network under a watch, on which otherwise nothing would ever be sent.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Measured with grpcio 1.81: an unanswered ping ends the connection after this (by default a minute), not after the
    # keepalive timeout.
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name this is also how long a connection attempt may take; its default is 20 s.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 << 20),
)


class EtcdStore:
    """A `StateStore` on an etcd server (any 3.4 or newer).

    Constructing it does no I/O, and etcd may be absent: publications wait, watches show nothing yet, and both catch up
    within a second or two of its coming. `get`, `list`, `put` and `delete` raise Unavailable within
    `request_timeout_s`.
    """

    def __init__(
        self, address: str, *, lease_ttl_s: int = 5, request_timeout_s: float = 2.0, relist_interval_s: float = 30.0
    ) -> None:
        self._etcd = _Connection(address, request_timeout_s)
        self._lease_ttl_s = lease_ttl_s
        self._relist_interval_s = relist_interval_s
        self._publications: set[_EtcdPublication] = set()
        self._watches: set[_EtcdWatch] = set()

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

    async def watch(self, prefix: str, *, remembered: Mapping[str, bytes] = _NOTHING) -> _EtcdWatch:
        """Start watching a prefix. Waits for the first view up to the request timeout, then returns in any case."""
        view = View(remembered)
        settle_s = self._lease_ttl_s + _SETTLE_MARGIN_S
        watch = _EtcdWatch(self._etcd, prefix, view, relist_interval_s=self._relist_interval_s, settle_s=settle_s)
        self._watches.add(watch)
        await watch.first_view()
        return watch

    async def close(self) -> None:
        """Withdraw all publications, end all watches, close the connection."""
        publications, self._publications = self._publications, set()
        watches, self._watches = self._watches, set()
        await asyncio.gather(*(publication.withdraw() for publication in publications))
        await asyncio.gather(*(watch.close() for watch in watches))
        await self._etcd.close()


class _Connection:
    """One channel to etcd; turns its failures into Unavailable and logs when it goes and comes."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None
        self._closed = False
        self._answering: bool | None = None

    def _open(self) -> grpc.aio.Channel:
        # Opened on first use: a channel belongs to the event loop it is made in.
        if self._closed:
            raise Unavailable("The connection to etcd is closed.", reason="STORE_CLOSED")
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=_CHANNEL_OPTIONS)
        return self._channel

    async def kv(self, method: str, request: Any) -> Any:
        return await self.heard(getattr(rpc.KVStub(self._open()), method)(request, timeout=self.timeout_s))

    async def entries(self, prefix: str) -> tuple[dict[str, bytes], int]:
        """The keys under a prefix and the revision of the store at which that was so."""
        start = prefix.encode()
        answer = await self.kv("Range", rpc.RangeRequest(key=start, range_end=_after_prefix(start)))
        return {entry.key.decode(errors="replace"): bytes(entry.value) for entry in answer.kvs}, int(
            answer.header.revision
        )

    async def grant(self, ttl_s: int) -> int:
        stub = rpc.LeaseStub(self._open())
        answer = await self.heard(stub.LeaseGrant(rpc.LeaseGrantRequest(TTL=ttl_s), timeout=self.timeout_s))
        return int(answer.ID)

    async def revoke(self, lease: int) -> None:
        stub = rpc.LeaseStub(self._open())
        await self.heard(stub.LeaseRevoke(rpc.LeaseRevokeRequest(ID=lease), timeout=self.timeout_s))

    async def keep_alive(self, lease: int) -> bool:
        """Renew a lease; False when etcd does not know it (any more).

        A stream for a single renewal: unlike a long one it cannot die unnoticed, and it has a deadline.
        """
        call = rpc.LeaseStub(self._open()).LeaseKeepAlive(timeout=self.timeout_s)
        try:
            answer = await self.heard(_ask(call, rpc.LeaseKeepAliveRequest(ID=lease)))
        finally:
            call.cancel()
        if answer is grpc.aio.EOF:
            raise self._unavailable("it ended the lease stream")
        return int(answer.TTL) > 0

    async def ensure(self, key: str, value: bytes, lease: int) -> None:
        """Put a leased key unless it is there already with this value and lease. Writes nothing when all is well."""
        name = key.encode()
        request = rpc.TxnRequest(
            compare=[
                rpc.Compare(key=name, target=rpc.Compare.LEASE, result=rpc.Compare.EQUAL, lease=lease),
                rpc.Compare(key=name, target=rpc.Compare.VALUE, result=rpc.Compare.EQUAL, value=value),
            ],
            failure=[rpc.RequestOp(request_put=rpc.PutRequest(key=name, value=value, lease=lease))],
        )
        await self.kv("Txn", request)

    async def events(self, prefix: str, *, after_revision: int) -> AsyncGenerator[_Batch, None]:
        """Batches of changes under a prefix; ends when etcd has compacted what comes next. Raises Unavailable."""
        start = prefix.encode()
        create = rpc.WatchCreateRequest(key=start, range_end=_after_prefix(start), start_revision=after_revision + 1)
        call = rpc.WatchStub(self._open()).Watch()
        try:
            async with self._answered_in_time():
                answer = await self.heard(_ask(call, rpc.WatchRequest(create_request=create)))
            while answer is not grpc.aio.EOF and not answer.canceled:
                if answer.events:
                    yield int(answer.header.revision), [_change(event) for event in answer.events]
                answer = await self.heard(call.read())
        finally:
            call.cancel()
        if answer is grpc.aio.EOF or not answer.compact_revision:
            raise self._unavailable("it ended the watch")

    async def heard(self, answer: Awaitable[T]) -> T:
        """Await something from etcd and note whether it answered."""
        try:
            value = await answer
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(f"{error.code().name}: {error.details()}") from error
        if not self._answering:
            self._answering = True
            _log.info("etcd answers", extra={"etcd": self.address})
        return value

    @contextlib.asynccontextmanager
    async def _answered_in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.timeout_s):
                yield
        except TimeoutError:
            raise self._unavailable("it did not answer in time") from None

    def _unavailable(self, why: str) -> Unavailable:
        if self._answering is not False:
            self._answering = False
            _log.warning("etcd does not answer", extra={"etcd": self.address, "why": why})
        return Unavailable(
            f"etcd does not answer at {self.address}; what is running goes on, but nothing can be changed.",
            reason="STATE_STORE_UNAVAILABLE",
            fix="Check that etcd runs at this address (LEPTON_ETCD_ADDRESS) and try again.",
        )

    async def close(self) -> None:
        self._closed = True
        if self._channel is not None:
            await self._channel.close()


class _EtcdPublication:
    """A leased key and the task that keeps it: renews the lease, and grants and puts again whatever was lost.

    Each has a lease of its own, so that withdrawing is revoking: it takes the key with it, no write that is still under
    way can bring the key back, and without etcd it simply runs out.
    """

    def __init__(self, etcd: _Connection, key: str, value: bytes, *, ttl_s: int) -> None:
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

    The regular new list is there because a watch is not to be trusted for ever (etcd's own robustness tests found lost
    events); the list after an outage tells nothing about what is missing from it until everybody is registered again.
    """

    def __init__(
        self, etcd: _Connection, prefix: str, view: View, *, relist_interval_s: float, settle_s: float
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
        # Revisions only ever grow, so one that went back is that of a store that lost its data.
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
            # Nobody has published here again yet, as happens when who alone writes here is away too: keep what was,
            # until some time after the first has come back.
            self._held = alone
            self._settle_later()
        elif self._connected:
            # Else nothing is believed; the list that ends the new outage starts the time again.
            self._view.settle()


async def _ask(call: Any, request: Any) -> Any:
    """Write to a stream and read what it answers. A write alone succeeds also while the other side hangs."""
    await call.write(request)
    return await call.read()


def _change(event: Any) -> tuple[str, bytes | None]:
    deleted = event.type == rpc.Event.DELETE
    return event.kv.key.decode(errors="replace"), None if deleted else bytes(event.kv.value)


def _after_prefix(prefix: bytes) -> bytes:
    """The first key after all keys with this prefix: etcd's range end."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
