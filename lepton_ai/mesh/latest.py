"""The latest value of something that changes, for readers that may skip what came in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds one value; every reader of `changes()` sees the newest value, and no reader can hold up the writer.

    Used from one event loop. Nothing is queued, so memory is bounded however slow a reader is.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        return self._value

    def set(self, value: T) -> None:
        """Replace the value and wake the readers; an equal value changes nothing."""
        if value == self._value:
            return
        self._value = value
        self._version += 1
        self._wake()

    def close(self) -> None:
        """End every `changes()`, after each has seen the newest value."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changes(self) -> AsyncIterator[T]:
        """Yields the value at once, then again after each change, skipping values that were replaced meanwhile."""
        seen = -1
        while True:
            # Taken before the yield: what changes while the reader works on this value must wake it.
            changed = self._changed
            if seen != self._version:
                seen = self._version
                yield self._value
            elif self._closed:
                return
            else:
                await changed.wait()
