"""The owner's end of leased memory: ranges are leased, written, released by their readers, or taken back."""

from __future__ import annotations

import fcntl
import itertools
import math
import mmap
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable

from lepton_ai.mesh.leased_memory import layout
from lepton_ai.mesh.leased_memory.ranges import Ranges
from lepton_ai.v1 import preprocess_pb2

LEASE_S = 30.0
"""A reader copies at once; one that has not in so long hangs, and what it waited for is late anyway."""
PARTING_S = 5.0
"""How long leases outlive their holder's connection: its last answers may still be under way."""
_LARGEST_SHARE = 2
"""No holder gets more than the memory divided by this: one that hangs must leave room for others."""


class Holder:
    """Who has leases: one connection. Its fields belong to the memory."""

    __slots__ = ("has_left", "held_bytes", "leases")

    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.held_bytes = 0
        self.has_left = False


class Lease:
    """A range that nobody else writes until the lease ends."""

    __slots__ = ("begin", "end_s", "holder", "is_written", "number", "size_bytes", "slot")

    def __init__(self, number: int, slot: int, begin: int, size_bytes: int, holder: Holder) -> None:
        self.number = number
        self.slot = slot
        self.begin = begin
        self.size_bytes = size_bytes
        self.holder = holder
        self.is_written = False
        self.end_s = math.inf


class LeasedMemory:
    """Safe to share between threads. Its pages are there once they have been written."""

    def __init__(self, size_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`size_bytes` of data. Raises OSError when the system gives no such memory."""
        self._total_bytes = layout.DATA_OFFSET + size_bytes
        self._share_bytes = size_bytes // _LARGEST_SHARE
        self._clock = clock
        self._token = secrets.token_bytes(layout.TOKEN_BYTES)
        self._descriptor = _sealed(self._total_bytes)
        self._view = memoryview(mmap.mmap(self._descriptor, self._total_bytes))
        self._view[: layout.TOKEN_BYTES] = self._token
        # as 64-bit numbers, which are written at once: a reader must not see half of one
        self._table = self._view[layout.TABLE_OFFSET : layout.DATA_OFFSET].cast("Q")
        self._lock = threading.Lock()
        self._ranges = Ranges(layout.DATA_OFFSET, self._total_bytes)
        self._slots = list(reversed(range(layout.SLOTS)))
        self._numbers = itertools.count(1)
        self._leases: dict[int, Lease] = {}
        self._soonest_s = math.inf
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of all leases."""
        return self._held_bytes

    def offer(self) -> preprocess_pb2.MemoryOffer:
        """What a reader opens it by."""
        return preprocess_pb2.MemoryOffer(
            pid=os.getpid(), descriptor=self._descriptor, size_bytes=self._total_bytes, token=self._token
        )

    def is_this(self, token: bytes) -> bool:
        """Whether this is the memory that somebody has opened."""
        return secrets.compare_digest(token, self._token)

    def take(self, size_bytes: int, holder: Holder) -> Lease | None:
        """A lease of so many bytes, to be written; None when there is no room, or the holder has its share or has left.

        Call `written` or `end` in any case: until then its range can not be taken back.
        """
        size_bytes = -(-size_bytes // layout.ALIGNMENT_BYTES) * layout.ALIGNMENT_BYTES
        with self._lock:
            lease = self._place(size_bytes, holder)
            if lease is None and self._take_back():
                lease = self._place(size_bytes, holder)
            return lease

    def view(self, lease: Lease) -> memoryview:
        """The range, to write into."""
        return self._view[lease.begin : lease.begin + lease.size_bytes]

    def written(self, lease: Lease) -> bool:
        """The reader may be told of it. False: the holder has left meanwhile, and the lease has ended."""
        with self._lock:
            if lease.holder.has_left:
                self._end(lease)
                return False
            lease.is_written = True
            self._table[lease.slot] = lease.number
            self._end_at(lease, self._clock() + LEASE_S)
            return True

    def end(self, lease: Lease) -> None:
        """End a lease that was not written after all."""
        with self._lock:
            self._end(lease)

    def release(self, numbers: Iterable[int], holder: Holder) -> None:
        """The holder reads these no more. Numbers that are not its own, or not any more, are passed over."""
        with self._lock:
            for number in numbers:
                lease = holder.leases.get(number)
                if lease is not None and lease.is_written:
                    self._end(lease)

    def leave(self, holder: Holder) -> None:
        """The holder's connection has ended."""
        with self._lock:
            holder.has_left = True
            for lease in holder.leases.values():
                if lease.is_written:
                    self._end_at(lease, min(lease.end_s, self._clock() + PARTING_S))

    def close(self) -> None:
        """Nobody can open it any more; those who have keep it as it is."""
        os.close(self._descriptor)

    def _place(self, size_bytes: int, holder: Holder) -> Lease | None:
        if holder.has_left or holder.held_bytes + size_bytes > self._share_bytes or not self._slots:
            return None
        begin = self._ranges.take(size_bytes)
        if begin is None:
            return None
        lease = Lease(next(self._numbers), self._slots.pop(), begin, size_bytes, holder)
        self._leases[lease.number] = holder.leases[lease.number] = lease
        holder.held_bytes += size_bytes
        self._held_bytes += size_bytes
        return lease

    def _end_at(self, lease: Lease, end_s: float) -> None:
        lease.end_s = end_s
        self._soonest_s = min(self._soonest_s, end_s)

    def _take_back(self) -> bool:
        """End what has lasted too long; only when room is needed. Tells whether there was any."""
        now = self._clock()
        if now < self._soonest_s:
            return False
        expired = [lease for lease in self._leases.values() if lease.end_s <= now]
        for lease in expired:
            self._end(lease)
        self._soonest_s = min((lease.end_s for lease in self._leases.values()), default=math.inf)
        return bool(expired)

    def _end(self, lease: Lease) -> None:
        # before its range is given back: a reader that sees anything else there sees this, too
        self._table[lease.slot] = 0
        del self._leases[lease.number], lease.holder.leases[lease.number]
        lease.holder.held_bytes -= lease.size_bytes
        self._held_bytes -= lease.size_bytes
        self._slots.append(lease.slot)
        self._ranges.give_back(lease.begin, lease.size_bytes)


def _sealed(size_bytes: int) -> int:
    """The descriptor of a file without a name, which can not shrink under those who have mapped it."""
    descriptor = os.memfd_create(layout.NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size_bytes)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
