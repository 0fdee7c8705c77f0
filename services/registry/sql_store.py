"""The store on SQLAlchemy: SQLite with a write-ahead log, every commit synced to the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, event, func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from lepton_ai.disk import free_bytes
from lepton_ai.errors import FailedPrecondition, Unavailable
from services.registry import schema
from services.registry.rollouts.sql import RolloutReading, RolloutWriting
from services.registry.storage.room import disk_full
from services.registry.store import (
    AuditEntry,
    DeploymentRecord,
    FileRecord,
    NewVersion,
    RouteTarget,
    VersionRecord,
)

_BUSY_TIMEOUT_MS = 5000
_HASHES_PER_QUERY = 500  # SQLite bounds the number of parameters
_COMMIT_BYTES = 4 << 20
"""Room that a transaction may need for its pages, in the journal and in the database."""
_WRITING = "lepton_writing"
_FULL = frozenset(
    {
        sqlite3.SQLITE_FULL,
        # Errors of the journal, and of the memory that connections share, on a full disk.
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)


class SqlReading(RolloutReading):
    """Queries in one transaction."""

    async def models(self) -> Sequence[str]:
        rows = await self._connection.execute(select(schema.models.c.name).order_by(schema.models.c.name))
        return list(rows.scalars())

    async def versions(self, model: str) -> Sequence[VersionRecord]:
        table = schema.versions
        query = select(table).where(table.c.model == model).order_by(table.c.version.desc())
        rows = (await self._connection.execute(query)).all()
        files = await self._files(model)
        return [_version(row, files[row.version]) for row in rows]

    async def version(self, model: str, number: int) -> VersionRecord | None:
        table = schema.versions
        query = select(table).where(table.c.model == model).order_by(table.c.version.desc()).limit(1)
        return await self._one(query.where(table.c.version == number) if number else query)

    async def version_of_digest(self, model: str, digest: str) -> VersionRecord | None:
        table = schema.versions
        return await self._one(select(table).where(table.c.model == model, table.c.digest == digest))

    async def aliases(self, model: str) -> Mapping[str, int]:
        table = schema.aliases
        query = select(table.c.alias, table.c.version).where(table.c.model == model).order_by(table.c.alias)
        return {row.alias: row.version for row in await self._connection.execute(query)}

    async def deployment(self, model: str) -> DeploymentRecord | None:
        table = schema.deployed_versions
        query = select(table.c.version).where(table.c.model == model).order_by(table.c.version)
        numbers = tuple((await self._connection.execute(query)).scalars())
        if not numbers:
            return None
        targets = schema.route_targets
        routes = select(targets).where(targets.c.model == model).order_by(targets.c.alias, targets.c.version)
        rows = await self._connection.execute(routes)
        return DeploymentRecord(
            model=model,
            generation=await self.generation(model),
            versions=numbers,
            routes=tuple(RouteTarget(row.alias, row.version, row.weight) for row in rows),
        )

    async def deployed_models(self) -> Sequence[str]:
        table = schema.deployed_versions
        return list(
            (await self._connection.execute(select(table.c.model).distinct().order_by(table.c.model))).scalars()
        )

    async def generation(self, model: str) -> int:
        query = select(schema.models.c.generation).where(schema.models.c.name == model)
        return (await self._connection.execute(query)).scalar() or 0

    async def known_files(self, sha256: Collection[str]) -> frozenset[str]:
        column, wanted, known = schema.files.c.sha256, sorted(sha256), set[str]()
        for start in range(0, len(wanted), _HASHES_PER_QUERY):
            query = select(column).where(column.in_(wanted[start : start + _HASHES_PER_QUERY])).distinct()
            known.update((await self._connection.execute(query)).scalars())
        return frozenset(known)

    async def all_files(self) -> frozenset[str]:
        return frozenset((await self._connection.execute(select(schema.files.c.sha256).distinct())).scalars())

    async def _one(self, query: Any) -> VersionRecord | None:
        row = (await self._connection.execute(query)).first()
        if row is None:
            return None
        return _version(row, (await self._files(row.model, row.version))[row.version])

    async def _files(self, model: str, version: int | None = None) -> Mapping[int, list[FileRecord]]:
        table = schema.files
        query = select(table).where(table.c.model == model).order_by(table.c.path)
        if version is not None:
            query = query.where(table.c.version == version)
        files: dict[int, list[FileRecord]] = defaultdict(list)
        for row in await self._connection.execute(query):
            files[row.version].append(FileRecord(row.path, row.size_bytes, row.sha256))
        return files


class SqlWriting(SqlReading, RolloutWriting):
    """Queries and changes in one transaction."""

    async def add_version(self, new: NewVersion) -> VersionRecord:
        newest = select(func.max(schema.versions.c.version)).where(schema.versions.c.model == new.model)
        number = ((await self._connection.execute(newest)).scalar() or 0) + 1
        if number == 1:
            await self._connection.execute(insert(schema.models).values(name=new.model, generation=0))
        key = {"model": new.model, "version": number}
        created_at = datetime.now(UTC)
        await self._connection.execute(
            insert(schema.versions).values(**key, digest=new.digest, description=new.description, created_at=created_at)
        )
        rows = [key | {"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in new.files]
        await self._connection.execute(insert(schema.files), rows)
        return VersionRecord(new.model, number, new.digest, new.description, created_at, new.files)

    async def set_alias(self, model: str, alias: str, version: int | None) -> None:
        table = schema.aliases
        await self._connection.execute(delete(table).where(table.c.model == model, table.c.alias == alias))
        if version is not None:
            await self._connection.execute(insert(table).values(model=model, alias=alias, version=version))

    async def set_deployment(self, model: str, versions: Collection[int], routes: Collection[RouteTarget]) -> None:
        for table in (schema.route_targets, schema.deployed_versions):
            await self._connection.execute(delete(table).where(table.c.model == model))
        if versions:
            rows = [{"model": model, "version": version} for version in versions]
            await self._connection.execute(insert(schema.deployed_versions), rows)
        if routes:
            targets = [
                {"model": model, "alias": route.alias, "version": route.version, "weight": route.weight}
                for route in routes
            ]
            await self._connection.execute(insert(schema.route_targets), targets)

    async def set_generation(self, model: str, generation: int) -> None:
        table = schema.models
        await self._connection.execute(update(table).where(table.c.name == model).values(generation=generation))

    async def record(self, entry: AuditEntry) -> None:
        await self._connection.execute(
            insert(schema.audit).values(
                at=datetime.now(UTC),
                actor=entry.actor,
                action=entry.action,
                model=entry.model,
                before=entry.before,
                after=entry.after,
            )
        )


class SqlStore:
    """Transactions on one SQLite file. Open it with `open_sqlite`."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._writers = asyncio.Lock()  # fairer than SQLite's polling of its own lock

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlReading]:
        async with _database_errors(), self._engine.connect() as connection, connection.begin():
            yield SqlReading(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[SqlWriting]:
        # Checked before anything else changes, for instance in etcd: a commit that fails at the end would be too late.
        if await asyncio.to_thread(free_bytes, self._path.parent) < _COMMIT_BYTES:
            raise disk_full()
        async with _database_errors(), self._writers, self._engine.connect() as connection:
            await connection.execution_options(**{_WRITING: True})
            async with connection.begin():
                yield SqlWriting(connection)

    async def close(self) -> None:
        await self._engine.dispose()


async def open_sqlite(path: Path) -> SqlStore:
    """Open a database file, creating it when it is new. Raises FailedPrecondition for one of a later release."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    event.listen(engine.sync_engine, "connect", _prepare_connection)
    event.listen(engine.sync_engine, "begin", _begin)
    try:
        async with _database_errors(), engine.connect() as connection:
            await connection.execution_options(**{_WRITING: True})
            async with connection.begin():
                await connection.run_sync(schema.metadata.create_all)
                await _check_schema(connection)
    except BaseException:
        await engine.dispose()
        raise
    return SqlStore(engine, path)


async def _check_schema(connection: AsyncConnection) -> None:
    table = schema.schema_version
    found = (await connection.execute(select(func.max(table.c.version)))).scalar()
    if found is None:
        await connection.execute(insert(table).values(version=schema.SCHEMA_VERSION))
    elif found == 1:  # only tables were added since, which are there by now
        await connection.execute(update(table).values(version=schema.SCHEMA_VERSION))
    elif found != schema.SCHEMA_VERSION:
        raise FailedPrecondition(
            f"The registry's database has schema {found}, this release knows {schema.SCHEMA_VERSION}.",
            fix="Run the release that wrote it, or a later one.",
        )


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


@asynccontextmanager
async def _database_errors() -> AsyncIterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        if getattr(error.orig if isinstance(error, OperationalError) else None, "sqlite_errorcode", 0) in _FULL:
            raise disk_full() from error
        raise Unavailable(
            "The registry's database cannot do this now; nothing was changed.",
            reason="DATABASE_UNAVAILABLE",
            fix="Try again; if it goes on, look for a full or read-only disk in the registry's log.",
            retry_after_s=1.0,
        ) from error


def _version(row: Row[Any], files: Sequence[FileRecord]) -> VersionRecord:
    # SQLite forgets the time zone; everything is written in UTC.
    created_at = row.created_at.replace(tzinfo=UTC)
    return VersionRecord(row.model, row.version, row.digest, row.description, created_at, tuple(files))
