"""Locks between the workers of a replica, as files: the kernel lets go of them when their holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Self

from lepton_ai.errors import Unavailable

_POLL_S = 0.02


class Lock:
    """A lock that is held until the end of a `with` block, until it is released, or until this process ends."""

    def __init__(self, path: Path, file: IO[str], *, exclusive: bool) -> None:
        """Use `Locks`."""
        self._path = path
        self._file = file
        self._exclusive = exclusive

    def release(self) -> None:
        """Let others have it. A second call has no effect."""
        if self._exclusive and not self._file.closed:
            self._path.unlink(missing_ok=True)  # whoever has opened it for nothing looks again
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


class Locks:
    """Locks by name, in a directory of all workers of a replica. Within a process they exclude one another, too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def try_shared(self, name: str) -> Lock | None:
        """The lock, beside others who share it; None while somebody has it alone. Raises OSError."""
        return self._try(name, exclusive=False)

    def try_exclusive(self, name: str) -> Lock | None:
        """The lock for this holder alone; None while anybody has it. Raises OSError."""
        return self._try(name, exclusive=True)

    @asynccontextmanager
    async def exclusive(self, name: str, *, timeout_s: float) -> AsyncIterator[None]:
        """Hold the lock alone. Raises Unavailable when others keep it for longer than `timeout_s`, and OSError."""
        end_s = time.monotonic() + timeout_s
        while (lock := self._try(name, exclusive=True)) is None:
            if time.monotonic() > end_s:
                raise Unavailable("Another worker of this replica is at it, and does not come to an end.")
            await asyncio.sleep(_POLL_S)
        with lock:
            yield

    def _try(self, name: str, *, exclusive: bool) -> Lock | None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / name
        while True:
            file = path.open("a")
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            if os.fstat(file.fileno()).st_nlink:
                return Lock(path, file, exclusive=exclusive)
            file.close()  # its last holder deleted it between the two lines above
