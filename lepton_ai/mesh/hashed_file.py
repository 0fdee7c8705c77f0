"""Files that are hashed while they are written and read, in a thread of their own beside the network's."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from typing import IO, Protocol

CHUNK_BYTES = 1 << 20
Content = bytes | memoryview
_SYNC_BYTES = 32 << 20
"""The disk writes while the rest arrives: at the end hardly anything is left to wait for."""


class Digest(Protocol):
    """What is needed of a hash."""

    def update(self, data: bytes, /) -> None: ...


class HashedFile:
    """A file that is being received: a chunk is written and hashed while the next one arrives."""

    def __init__(self, file: IO[bytes]) -> None:
        """Writes from where the file stands. Whoever opened it closes it, after `settle`."""
        self._file = file
        self._digest = hashlib.sha256()
        self._writing: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._synced_bytes = 0
        self.size_bytes = 0

    async def take(self, size_bytes: int) -> None:
        """Hash the first bytes of the file, which were written before, and write behind them."""
        await asyncio.to_thread(self._take, size_bytes)

    async def write(self, data: Content) -> None:
        """Begin to write; what came before is written by then. Raises what writing that raised."""
        await self._written()
        self.size_bytes += len(data)
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, data))
        if self.size_bytes - self._synced_bytes >= _SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            await self._synced()
            self._synced_bytes = self.size_bytes
            self._syncing = asyncio.ensure_future(asyncio.to_thread(os.fdatasync, self._file.fileno()))

    async def settle(self) -> None:
        """Wait for what is being written."""
        await self._written()
        await self._synced()

    async def finish(self) -> str:
        """Make all of it durable; returns the SHA-256 of the whole."""
        await self.settle()
        await asyncio.to_thread(self._sync)
        return self._digest.hexdigest()

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _synced(self) -> None:
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            await syncing

    def _take(self, size_bytes: int) -> None:
        self._file.seek(0)
        while data := self._file.read(min(CHUNK_BYTES, size_bytes - self.size_bytes)):
            self._digest.update(data)
            self.size_bytes += len(data)
        self._file.truncate(size_bytes)

    def _write(self, data: Content) -> None:
        self._file.write(data)
        self._digest.update(data)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


async def read_ahead(file: IO[bytes], *, digest: Digest | None = None) -> AsyncGenerator[bytes]:
    """The rest of a file in chunks of 1 MiB: while one is on its way the next one is read, and hashed into `digest`.

    Close the iterator before the file.
    """

    def read() -> bytes:
        data = file.read(CHUNK_BYTES)
        if digest is not None:
            digest.update(data)
        return data

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    try:
        while data := await reading:
            reading = asyncio.ensure_future(asyncio.to_thread(read))
            yield data
    finally:
        await asyncio.gather(reading, return_exceptions=True)
