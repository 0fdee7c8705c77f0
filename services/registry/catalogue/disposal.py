"""Deletes what is left of deleted versions once nobody needs it, and forgets pushes that nobody will ask for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.loops import run_loop
from services.registry.database.store import Store
from services.registry.storage.blobs import Blobs
from services.registry.storage.kept_uploads import KeptUploads
from services.registry.storage.pins import Pins

_MOST_PAUSE_S = 60.0
_KEPT_PUSHES = 1000
_LONGEST_PUSH = timedelta(hours=2)
_LOG = logging.getLogger(__name__)


class Disposal:
    """Looks now and then. Files of a deleted version stay for `grace_s`, also over a restart, as a replica, or a push
    that was told that they are there, may be about to fetch them; and as long as they are being sent."""

    def __init__(
        self, store: Store, blobs: Blobs, pins: Pins, kept: KeptUploads, *, grace_s: float, is_alone: bool = True
    ) -> None:
        """Where several registries share a store, files that no version holds are left to the collector."""
        self._is_alone = is_alone
        self._store = store
        self._blobs = blobs
        self._pins = pins
        self._kept = kept
        self._grace_s = grace_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = run_loop(self._run, name="dispose of deleted versions")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def dispose(self) -> int:
        """Delete what may be deleted now; returns how many files. Raises Unavailable."""
        now = datetime.now(UTC)
        await asyncio.to_thread(self._kept.expire)
        async with self._store.writing() as writing:
            await writing.forget_old_pushes(keep=_KEPT_PUSHES)
            await writing.forget_broken_pushes(before=now - _LONGEST_PUSH)
        async with self._pins.lock:
            unused = await self._forget(before=now - timedelta(seconds=self._grace_s))
            for sha256 in unused if self._is_alone else ():
                await self._blobs.delete(sha256)
        return len(unused)

    async def _forget(self, *, before: datetime) -> frozenset[str]:
        """Forget the files of versions none of whose files is in use; returns those that no version holds now.

        What is not deleted as this process is killed now belongs to nobody, and goes at the next start.
        """
        async with self._store.reading() as reading:
            if not await reading.files_of_deleted(before=before):
                return frozenset()
        async with self._store.writing() as writing:
            deleted = await writing.files_of_deleted(before=before)
            held = self._pins.held
            free = {version: hashes for version, hashes in deleted.items() if not hashes & held}
            await writing.forget_files(list(free))
            hashes = frozenset[str]().union(*free.values())
            return hashes - await writing.known_files(hashes)

    async def _run(self) -> None:
        while True:
            try:
                if deleted := await self.dispose():
                    _LOG.info("deleted files of deleted versions", extra={"files": deleted})
            except LeptonError as error:
                _LOG.warning("cannot dispose of deleted versions: %s", error)
            await asyncio.sleep(min(_MOST_PAUSE_S, max(1.0, self._grace_s / 2)))
