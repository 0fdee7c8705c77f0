"""The cache of one process: W-TinyLFU over bytes (moka), whose capacity can be changed while it is in use."""

from __future__ import annotations

import time
from typing import Any, Generic, NamedTuple, TypeVar

from moka_py import Moka

V = TypeVar("V")


class _Kept(NamedTuple):
    value: Any
    size_bytes: int
    until_s: float


class LocalStore(Generic[V]):
    """Values by key, as many as fit. What is asked for often stays; what is seen once makes way. One thread.

    moka cannot change its capacity. So a resized store begins anew and takes over what is asked for from the one before
    it, which is let go when both together would take more than the larger of the two may.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._current: Moka[bytes, _Kept] = _table(capacity_bytes)
        self._before: Moka[bytes, _Kept] | None = None
        self.capacity_bytes = capacity_bytes
        self._most_bytes = capacity_bytes

    def get(self, key: bytes) -> V | None:
        """The value, None when it is not there or its time has passed."""
        found = self._current.get(key)
        if found is None and self._before is not None:
            found = self._take_over(key)
        return None if found is None else found.value

    def put(self, key: bytes, value: V, *, size_bytes: int, ttl_s: float) -> None:
        """Keep a value, unless others are worth more."""
        self._put(key, _Kept(value, size_bytes, time.monotonic() + ttl_s), ttl_s)

    def reweigh(self, key: bytes, size_bytes: int) -> None:
        """Note that a value has grown, if it is still there; its time does not change."""
        found = self._current.get(key)
        left_s = 0.0 if found is None else found.until_s - time.monotonic()
        if found is not None and left_s > 0:
            self._current.set(key, found._replace(size_bytes=size_bytes), ttl=left_s)

    def resize(self, capacity_bytes: int) -> None:
        """Change the capacity."""
        if capacity_bytes == self.capacity_bytes:
            return
        self._most_bytes = max(capacity_bytes, self.capacity_bytes)
        self._before, self._current = self._current, _table(capacity_bytes)
        self.capacity_bytes = capacity_bytes

    def settle(self) -> None:
        """Do what is due: drop what has expired, and what a change of capacity has left over."""
        self._current.run_pending_tasks()
        self._before = None

    def clear(self) -> None:
        """Let everything go."""
        self._before, self._current = None, _table(self.capacity_bytes)

    @property
    def size_bytes(self) -> int:
        """Weight of all values."""
        return sum(table.weighted_size() for table in self._counted())

    @property
    def entries(self) -> int:
        """Number of values."""
        return sum(table.count() for table in self._counted())

    def _counted(self) -> list[Moka[bytes, _Kept]]:
        tables = [self._current] if self._before is None else [self._current, self._before]
        for table in tables:
            table.run_pending_tasks()  # it counts late
        return tables

    def _put(self, key: bytes, kept: _Kept, ttl_s: float) -> None:
        self._current.set(key, kept, ttl=ttl_s)
        if self._before is not None:
            self._before.remove(key)
            if self.size_bytes > self._most_bytes:
                self._before = None

    def _take_over(self, key: bytes) -> _Kept | None:
        found = self._before.get(key) if self._before is not None else None
        left_s = 0.0 if found is None else found.until_s - time.monotonic()
        if found is None or left_s <= 0:
            return None
        self._put(key, found, left_s)
        return found


def _table(capacity_bytes: int) -> Moka[bytes, _Kept]:
    return Moka(capacity_bytes, weigher=lambda _, kept: kept.size_bytes)
