"""One connection to etcd: its calls, each with a time limit, and what they say when etcd does not answer.

Talks to etcd through aetcd's generated stubs, not through aetcd's client: that one has no keep-alive loop, and its
watch dies silently when its stream ends without an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, TypeVar

import grpc
from aetcd import rpc

from lepton_ai.credentials import Metadata
from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.etcd_access import EtcdAccess
from lepton_ai.mesh.discovery.login import EtcdLogin

T = TypeVar("T")

_Batch = tuple[int, list[tuple[str, bytes | None]]]
"""The revision of the store, and the changes: key and value, None for a deletion."""

_log = logging.getLogger(__name__)

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),
    # etcd tolerates one ping per 5 s (its --grpc-keepalive-min-time). Only pings reveal a hung etcd or a dead network
    # under a watch, on which otherwise nothing would ever be sent.
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


class _TokenForgotten(Unavailable):
    """etcd no longer knows our token, for instance after a restart; the next try logs in again."""


class EtcdConnection:
    """One channel to etcd; turns its failures into Unavailable and logs when etcd stops and starts answering."""

    def __init__(self, address: str, timeout_s: float, login: EtcdLogin | None = None) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._access = EtcdAccess(login)
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
        return await self._ask(getattr(rpc.KVStub(self._open()), method), request)

    async def _ask(self, method: Any, request: Any) -> Any:
        """Call a method, and once more when etcd had only forgotten our token."""
        async with self._answered_in_time():
            proof = await self._prove()
            try:
                return await self._heard(method(request, timeout=self.timeout_s, metadata=proof))
            except _TokenForgotten:
                return await self._heard(method(request, timeout=self.timeout_s, metadata=await self._prove()))

    async def _prove(self) -> Metadata:
        async with self._answered_in_time():
            # Where there is no login, etcd was not asked: this alone does not mean that it answers.
            return await self._checked(self._access.proof(self._open()))

    async def entries(self, prefix: str) -> tuple[dict[str, bytes], int]:
        """The keys under a prefix and the revision of the store at which that was so."""
        start = prefix.encode()
        answer = await self.kv("Range", rpc.RangeRequest(key=start, range_end=_after_prefix(start)))
        return {entry.key.decode(errors="replace"): bytes(entry.value) for entry in answer.kvs}, int(
            answer.header.revision
        )

    async def grant(self, ttl_s: int) -> int:
        answer = await self._ask(rpc.LeaseStub(self._open()).LeaseGrant, rpc.LeaseGrantRequest(TTL=ttl_s))
        return int(answer.ID)

    async def revoke(self, lease: int) -> None:
        await self._ask(rpc.LeaseStub(self._open()).LeaseRevoke, rpc.LeaseRevokeRequest(ID=lease))

    async def keep_alive(self, lease: int) -> bool:
        """Renew a lease; False when etcd does not know it (any more).

        It opens a stream for each renewal: unlike a long-lived one, that cannot die unnoticed, and it has a deadline.
        """
        call = rpc.LeaseStub(self._open()).LeaseKeepAlive(timeout=self.timeout_s, metadata=await self._prove())
        try:
            answer = await self._heard(_converse(call, rpc.LeaseKeepAliveRequest(ID=lease)))
        finally:
            call.cancel()
        if answer is grpc.aio.EOF:
            raise self._unavailable("it ended the lease stream")
        known = int(answer.TTL) > 0
        if not known:
            self._access.forget()
        return known

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

    async def claim(self, key: str, value: bytes, lease: int) -> bool:
        """Put a leased key unless somebody else's value is there; whether it is there with this value and lease."""
        name = key.encode()
        leased = rpc.Compare(key=name, target=rpc.Compare.LEASE, result=rpc.Compare.EQUAL, lease=lease)
        own = rpc.Compare(key=name, target=rpc.Compare.VALUE, result=rpc.Compare.EQUAL, value=value)
        free = rpc.Compare(key=name, target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, create_revision=0)
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=name, value=value, lease=lease))
        for conditions, writes in (([leased, own], []), ([own], [put]), ([free], [put])):  # mostly nothing is written
            answer = await self.kv("Txn", rpc.TxnRequest(compare=conditions, success=writes))
            if answer.succeeded:
                return True
        return False

    async def events(self, prefix: str, *, after_revision: int) -> AsyncGenerator[_Batch, None]:
        """Batches of changes under a prefix; ends when etcd has compacted what comes next. Raises Unavailable."""
        start = prefix.encode()
        create = rpc.WatchCreateRequest(key=start, range_end=_after_prefix(start), start_revision=after_revision + 1)
        call = rpc.WatchStub(self._open()).Watch(metadata=await self._prove())
        try:
            async with self._answered_in_time():
                answer = await self._heard(_converse(call, rpc.WatchRequest(create_request=create)))
            while answer is not grpc.aio.EOF and not answer.canceled:
                if answer.events:
                    yield int(answer.header.revision), [_change(event) for event in answer.events]
                answer = await self._heard(call.read())
        finally:
            call.cancel()
        if answer is grpc.aio.EOF or not answer.compact_revision:
            raise self._unavailable("it ended the watch")

    async def _heard(self, answer: Awaitable[T]) -> T:
        """Await something from etcd and note whether it answered."""
        value = await self._checked(answer)
        if not self._answering:
            self._answering = True
            _log.info("etcd answers", extra={"etcd": self.address})
        return value

    async def _checked(self, answer: Awaitable[T]) -> T:
        """Await something; an error of etcd becomes one of ours, and notes that it does not answer."""
        try:
            return await answer
        except grpc.aio.AioRpcError as error:
            if self._access.heard(error):
                raise _TokenForgotten("etcd does not know this process any more.") from error
            raise self._unavailable(f"{error.code().name}: {error.details()}") from error

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
            fix="Check that etcd runs at this address (LEPTON_ETCD_ADDRESS) and, if it asks for a user, lets "
            "LEPTON_ETCD_USER in; then try again.",
        )

    async def close(self) -> None:
        self._closed = True
        await self._access.close()
        if self._channel is not None:
            await self._channel.close()


async def _converse(call: Any, request: Any) -> Any:
    """Write to a stream and read what it answers. A write alone would succeed even while the other side hangs."""
    await call.write(request)
    return await call.read()


def _change(event: Any) -> tuple[str, bytes | None]:
    deleted = event.type == rpc.Event.DELETE
    return event.kv.key.decode(errors="replace"), None if deleted else bytes(event.kv.value)


def _after_prefix(prefix: bytes) -> bytes:
    """The first key after all keys with this prefix: etcd's range end."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
