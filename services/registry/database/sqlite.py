"""The embedded database: one SQLite file with a write-ahead log, every commit synced to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from lepton_ai.disk import free_bytes
from services.registry.database.migration import migrate
from services.registry.storage.room import disk_full

_BUSY_TIMEOUT_MS = 5000
_COMMIT_BYTES = 4 << 20
"""Room that a transaction may need for its pages, in the journal and in the database."""
_WRITING = "lepton_writing"


class Sqlite:
    """Transactions on one file, for one process."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        """Use `open`."""
        self._engine = engine
        self._path = path
        self._writers = asyncio.Lock()  # fairer than SQLite's polling of its own lock

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open a file, creating or migrating it. Raises FailedPrecondition for one of a later release."""
        url = f"sqlite+aiosqlite:///{path}"
        await _migrate(url)
        engine = create_async_engine(url, hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _prepare_connection)
        event.listen(engine.sync_engine, "begin", _begin)
        return cls(engine, path)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction with a consistent view."""
        async with self._engine.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that excludes every other writer. Raises ResourceExhausted when there is no room for it."""
        # Checked before anything else changes, for instance in etcd: a commit that fails at the end would be too late.
        if await asyncio.to_thread(free_bytes, self._path.parent) < _COMMIT_BYTES:
            raise disk_full()
        async with self._writers, self._engine.connect() as connection:
            await connection.execution_options(**{_WRITING: True})
            async with connection.begin():
                yield connection

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


async def _migrate(url: str) -> None:
    """Bring the database to this release's schema, in one transaction: a process killed in it changes nothing."""
    engine = create_async_engine(url, poolclass=NullPool, execution_options={_WRITING: True})
    event.listen(engine.sync_engine, "connect", _prepare_migration)
    event.listen(engine.sync_engine, "begin", _begin)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def _prepare_migration(connection: Any, record: object) -> None:
    _prepare_connection(connection, record)
    # A table is changed by copying it and dropping the old one, to which others refer. They are checked at the end.
    connection.execute("PRAGMA foreign_keys=OFF")


def _prepare_connection(connection: Any, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, too late for consistent reads; see _begin.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a commit is on the disk before its caller hears of it
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading from a read later could fail on a stale view.
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
