"""A shared cache in memory with the behaviour of a Redis, and switches for its faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from lepton_ai.errors import Unavailable


class Written(Protocol):
    """A value on its way into the store."""

    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes: ...
    @property
    def ttl_s(self) -> float: ...


class MemorySharedStore:
    """Stands for the shared cache in tests; several replicas may be given the same one."""

    def __init__(self) -> None:
        self.up = True
        """Whether calls succeed."""
        self.delay_s = 0.0
        """What every call takes."""
        self.deaf = False
        """Whether news of drops are lost."""
        self.calls = 0
        self.values: dict[str, tuple[bytes, float]] = {}
        self._generations: dict[str, int] = {}
        self._listeners: set[asyncio.Queue[str]] = set()

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Values by key, None for those that are not there."""
        await self._call()
        found = (self.values.get(key) for key in keys)
        return [each[0] if each is not None and time.monotonic() < each[1] else None for each in found]

    async def put(self, values: Sequence[Written]) -> None:
        """Store values for their time."""
        await self._call()
        self.values |= {each.key: (each.value, time.monotonic() + each.ttl_s) for each in values}

    async def generations(self, groups: Sequence[str]) -> Sequence[int]:
        """The generations of these groups."""
        await self._call()
        return [self._generations.get(group, 0) for group in groups]

    async def drop(self, group: str) -> int:
        """Begin the next generation, and free what older ones hold."""
        await self._call()
        generation = self._generations[group] = self._generations.get(group, 0) + 1
        for key in [key for key in self.values if key.startswith(f"{group}/")]:
            del self.values[key]
        for listener in self._listeners if not self.deaf else ():
            listener.put_nowait(group)
        return generation

    async def dropped(self) -> AsyncGenerator[str]:
        """Groups as they are dropped; "" at once."""
        await self._call()
        listener: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(listener)
        try:
            yield ""
            while True:
                yield await listener.get()
        finally:
            self._listeners.discard(listener)

    async def close(self) -> None:
        """There is nothing to close."""

    async def _call(self) -> None:
        self.calls += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if not self.up:
            raise Unavailable("The shared cache does not work: it is switched off.", reason="SHARED_CACHE_UNAVAILABLE")
