"""Files that are in use in this process, by pushes and by downloads, and may not be deleted meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager


class Pins:
    """Counts who uses which file."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.lock = asyncio.Lock()
        """Hold it to delete files that are not `held`: nobody begins to use them meanwhile."""

    @property
    def held(self) -> frozenset[str]:
        """Hashes of the files in use."""
        return frozenset(self._counts)

    @asynccontextmanager
    async def holding(self, sha256: Collection[str]) -> AsyncIterator[None]:
        """Use files for the length of the block."""
        hashes = list(sha256)
        async with self.lock:
            self._counts.update(hashes)
        try:
            yield
        finally:
            self._counts.subtract(hashes)
            self._counts += Counter()  # forgets the zeros
