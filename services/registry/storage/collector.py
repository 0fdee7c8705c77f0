"""Deletes files that no version holds, where several registries store them and none knows of the others' pushes."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.loops import run_loop
from services.registry.database.store import Store
from services.registry.storage.blobs import Blobs

_INTERVAL_S = 3600.0
_AFTER_FAILURE_S = 60.0
_AGE_S = 86400.0
"""No push takes so long: what is older, and in no version, will be in none."""
_BATCH = 100
_LOG = logging.getLogger(__name__)


class Collector:
    """Looks every hour. A push makes sure, when it makes a version, that its new files are still there."""

    def __init__(self, store: Store, blobs: Blobs, *, age_s: float = _AGE_S) -> None:
        self._store = store
        self._blobs = blobs
        self._age_s = age_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = run_loop(self._run, name="collect files")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def collect(self) -> int:
        """Delete what no version holds, unless it is young; returns how many files. Raises Unavailable."""
        deleted = await self._blobs.delete_partial(older_than_s=self._age_s)
        stored = await self._blobs.sizes()
        async with self._store.reading() as reading:
            unknown = sorted(stored.keys() - await reading.all_files())
        old = [sha256 for sha256 in unknown if await self._blobs.age_s(sha256) > self._age_s]
        for start in range(0, len(old), _BATCH):
            batch = old[start : start + _BATCH]
            async with self._store.writing() as writing:  # nobody can make a version of them meanwhile
                known = await writing.known_files(batch)
                for sha256 in batch:
                    if sha256 not in known:
                        await self._blobs.delete(sha256)
                        deleted += 1
        return deleted

    async def _run(self) -> None:
        while True:
            pause_s = _INTERVAL_S
            try:
                if deleted := await self.collect():
                    _LOG.info("deleted files that no version holds", extra={"files": deleted})
            except LeptonError as error:
                _LOG.warning("cannot collect files: %s", error)
                pause_s = _AFTER_FAILURE_S
            await asyncio.sleep(pause_s)
