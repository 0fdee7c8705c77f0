"""What is known of alerts, in memory and on the disk: whatever follows from a record follows after it is written."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from lepton_ai.mesh.latest import Latest
from services.health.alerts.memory.book import AlertBook, Happening, Page
from services.health.alerts.memory.records import KINDS, Record

R = TypeVar("R", bound=Record)
T = TypeVar("T")
Listener = Callable[[Sequence[Record], Sequence[Record]], None]
"""Called with the records that were written and those that were dropped."""
_NODE, _LED = "node", "led"
_log = logging.getLogger(__name__)


class Ledger:
    """Use it from one event loop; the file is used from a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises FailedPrecondition for one of a later release."""
        self._book = AlertBook(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="alerts")
        self._records: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self._unwritten: dict[tuple[str, str], Record | None] = {}
        self._listeners: list[Listener] = []
        self._lock = asyncio.Lock()
        self.version: Latest[int] = Latest(0)
        """Grows with each change."""
        self.node = self._book.noted(_NODE) or uuid.uuid4().hex
        """Names this file, and so the process that uses it, from one start to the next."""
        self._book.note(_NODE, self.node)
        self.led_last = self._book.noted(_LED) != "no"
        """Whether this process led when that was last known; true for one that never knew of another."""
        for kind, identity, document in self._book.read():
            self._restore(kind, identity, document)

    def of(self, kind: type[R]) -> Mapping[str, R]:
        """All records of a kind, by id."""
        return cast("Mapping[str, R]", self._records[kind.kind])

    def listen(self, listener: Listener) -> None:
        """Have it called after every change that was written here; not for what was adopted from others."""
        self._listeners.append(listener)

    def remember(self, records: Iterable[Record]) -> None:
        """Take changes into memory alone: what the next round finds again anyway."""
        for record in records:
            self._records[record.kind][record.id] = record

    async def save(
        self, put: Sequence[Record] = (), drop: Sequence[Record] = (), history: Sequence[Happening] = ()
    ) -> None:
        """Write changes, then know them.

        When the disk does not take them they are known all the same, and written with the next ones: an alert that is
        told twice is better than one that is not told because the disk is full.
        """
        if not (put or drop or history):
            return
        newer = [record.model_copy(update={"revision": record.revision + 1}) for record in put]
        await self._write(newer, drop, history)
        for listener in self._listeners:
            listener(newer, drop)

    async def adopt(self, put: Sequence[Record], drop: Sequence[Record] = ()) -> None:
        """Take over what another replica has written."""
        newer = [each for each in put if each.revision > self._revision(each)]
        if newer or drop:
            await self._write(newer, drop, ())

    async def history(self, alert: str, *, limit: int) -> list[Happening]:
        """What happened to an alert, the newest first; to all of them for ""."""
        return await self._run(partial(self._book.history, alert, limit=limit))

    async def note_led(self, *, leads: bool) -> None:
        """Remember over a restart whether this process leads."""
        if leads != self.led_last:
            self.led_last = leads
            await self._run(partial(self._book.note, _LED, "yes" if leads else "no"))

    async def close(self) -> None:
        """Finish what has begun, and close the file."""
        async with self._lock:
            await self._run(self._book.close)
        self._thread.shutdown()
        self.version.close()

    def _revision(self, record: Record) -> int:
        known = self._records[record.kind].get(record.id)
        return -1 if known is None else known.revision

    async def _write(self, put: Sequence[Record], drop: Sequence[Record], history: Sequence[Happening]) -> None:
        async with self._lock:
            self._unwritten |= {(each.kind, each.id): each for each in put}
            self._unwritten |= {(each.kind, each.id): None for each in drop}
            kept = [(kind, identity, each) for (kind, identity), each in self._unwritten.items() if each is not None]
            page = Page(
                put=[(kind, identity, each.model_dump_json()) for kind, identity, each in kept],
                drop=[key for key, each in self._unwritten.items() if each is None],
                history=history,
            )
            try:
                await self._run(partial(self._book.write, page))
                self._unwritten.clear()
            except sqlite3.Error as error:
                _log.error("alerts cannot be written, and are remembered until they can: %s", error)
            self.remember(put)
            for record in drop:
                self._records[record.kind].pop(record.id, None)
        self.version.set(self.version.value + 1)

    def _restore(self, kind: str, identity: str, document: str) -> None:
        record = read_record(kind, document)
        if record is None or record.id != identity:
            _log.error("a record of alerts cannot be read and is left out", extra={"kind": kind, "id": identity})
        else:
            self._records[kind][identity] = record

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def read_record(kind: str, document: str | bytes) -> Record | None:
    """The record in a document; None for one that no release of ours has written."""
    model: Any = KINDS.get(kind)
    if model is None:
        return None
    try:
        return cast("Record", model.model_validate_json(document))
    except ValidationError:
        return None
