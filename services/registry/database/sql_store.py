"""The store on SQLAlchemy, whatever the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.catalogue.filters import Term
from services.registry.catalogue.record import VersionState
from services.registry.database import schema
from services.registry.database.audit import AuditReading, AuditWriting
from services.registry.database.dump import DumpReading, DumpWriting
from services.registry.database.errors import database_errors
from services.registry.database.lifecycle import LifecycleReading, LifecycleWriting
from services.registry.database.rollouts import RolloutReading, RolloutWriting
from services.registry.database.rows import version_record
from services.registry.database.search import search_query
from services.registry.database.signatures import SignatureReading, SignatureWriting
from services.registry.database.sqlite import Sqlite
from services.registry.database.store import (
    AuditEntry,
    DeploymentRecord,
    FileRecord,
    NewVersion,
    RouteTarget,
    VersionRecord,
)
from services.registry.database.summaries import SummaryReading
from services.registry.database.variants.reading import VariantReading
from services.registry.database.variants.writing import VariantWriting
from services.registry.database.webhooks import WebhookReading, WebhookWriting
from services.registry.webhooks.events import Change, events_of

if TYPE_CHECKING:
    from services.registry.database.postgresql import PostgresqlLeadership

_MAX_DRY_RUN = 500
_HASHES_PER_QUERY = 500  # SQLite bounds the number of parameters
_HASHES = (schema.files.c.sha256, schema.variant_files.c.sha256)


class SqlReading(
    AuditReading,
    DumpReading,
    LifecycleReading,
    RolloutReading,
    SignatureReading,
    SummaryReading,
    VariantReading,
    WebhookReading,
):
    """Queries in one transaction."""

    async def models(self) -> Sequence[str]:
        rows = await self._connection.execute(select(schema.models.c.name).order_by(schema.models.c.name))
        return list(rows.scalars())

    async def versions(self, model: str) -> Sequence[VersionRecord]:
        table = schema.versions
        query = select(table).where(table.c.model == model, table.c.state != VersionState.DELETED.value)
        rows = (await self._connection.execute(query.order_by(table.c.version.desc()))).all()
        files, tags, variants = await self._files(model), await self.tags(model), await self.variants([model])
        return [
            version_record(row, files[row.version], tags.get(row.version, {}), variants.get((model, row.version), ()))
            for row in rows
        ]

    async def version(self, model: str, number: int) -> VersionRecord | None:
        table = schema.versions
        query = select(table).where(table.c.model == model).order_by(table.c.version.desc()).limit(1)
        wanted = table.c.version == number if number else table.c.state == VersionState.READY.value
        return await self._one(query.where(wanted))

    async def version_of_digest(self, model: str, digest: str) -> VersionRecord | None:
        table = schema.versions
        query = select(table).where(table.c.model == model, table.c.digest == digest)
        return await self._one(query.where(table.c.state != VersionState.DELETED.value))

    async def search(
        self, terms: Sequence[Term], *, after: tuple[str, int] | None, limit: int
    ) -> Sequence[VersionRecord]:
        rows = (await self._connection.execute(search_query(terms, after=after, limit=limit))).all()
        tags = {model: await self.tags(model) for model in {row.model for row in rows}}
        found = [version_record(row, (), tags[row.model].get(row.version, {})) for row in rows]
        return [replace(each, known_size_bytes=int(row.size_bytes)) for each, row in zip(found, rows, strict=True)]

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
        wanted, known = sorted(sha256), set[str]()
        for column in _HASHES:
            for start in range(0, len(wanted), _HASHES_PER_QUERY):
                query = select(column).where(column.in_(wanted[start : start + _HASHES_PER_QUERY])).distinct()
                known.update((await self._connection.execute(query)).scalars())
        return frozenset(known)

    async def all_files(self) -> frozenset[str]:
        found = [(await self._connection.execute(select(column).distinct())).scalars() for column in _HASHES]
        return frozenset(sha256 for hashes in found for sha256 in hashes)

    async def _one(self, query: Any) -> VersionRecord | None:
        row = (await self._connection.execute(query)).first()
        if row is None:
            return None
        tags = (await self.tags(row.model)).get(row.version, {})
        files = (await self._files(row.model, row.version))[row.version]
        variants = await self.variants([row.model], row.version)
        return version_record(row, files, tags, variants.get((row.model, row.version), ()))

    async def _files(self, model: str, version: int | None = None) -> Mapping[int, list[FileRecord]]:
        table = schema.files
        query = select(table).where(table.c.model == model).order_by(table.c.path)
        if version is not None:
            query = query.where(table.c.version == version)
        files: dict[int, list[FileRecord]] = defaultdict(list)
        for row in await self._connection.execute(query):
            files[row.version].append(FileRecord(row.path, row.size_bytes, row.sha256))
        return files


class SqlWriting(
    SqlReading,
    AuditWriting,
    DumpWriting,
    LifecycleWriting,
    RolloutWriting,
    SignatureWriting,
    VariantWriting,
    WebhookWriting,
):
    """Queries and changes in one transaction."""

    async def add_version(self, new: NewVersion) -> VersionRecord:
        number = await self.newest_number(new.model) + 1
        if number == 1:
            await self._connection.execute(insert(schema.models).values(name=new.model, generation=0))
        key = {"model": new.model, "version": number}
        created_at = datetime.now(UTC)
        about = {"digest": new.digest, "description": new.description, "dry_run": new.dry_run[:_MAX_DRY_RUN]}
        values = {**key, **about, "lineage": new.lineage, "created_at": created_at}
        await self._connection.execute(insert(schema.versions).values(**values))
        rows = [key | {"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in new.files]
        await self._connection.execute(insert(schema.files), rows)
        return VersionRecord(
            new.model,
            number,
            new.digest,
            new.description,
            created_at,
            new.files,
            dry_run=new.dry_run,
            lineage=new.lineage,
        )

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
        await super().record(entry)
        await self.enqueue(events_of(Change(entry.actor, entry.action, entry.model, entry.before, entry.after)))


class Database(Protocol):
    """A database that begins transactions."""

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One with a consistent view."""

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One that excludes every other writer."""

    async def close(self) -> None:
        """Close all connections."""


Check = Callable[[AsyncConnection], Awaitable[None]]


class SqlStore:
    """The store on any of the databases. Open it with `open_sqlite` or `open_postgresql`."""

    def __init__(self, database: Database, check: Check | None = None) -> None:
        """`check`: what every writing transaction begins with, and may be refused by."""
        self._database = database
        self._check = check

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlReading]:
        async with database_errors(), self._database.reading() as connection:
            yield SqlReading(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[SqlWriting]:
        async with database_errors(), self._database.writing() as connection:
            if self._check is not None:
                await self._check(connection)
            yield SqlWriting(connection)

    def checked(self, check: Check) -> SqlStore:
        """The same store, whose writing transactions begin with a check."""
        return SqlStore(self._database, check)

    async def close(self) -> None:
        await self._database.close()


async def open_sqlite(path: Path) -> SqlStore:
    """Open a database file, creating or migrating it. Raises FailedPrecondition for one of a later release."""
    async with database_errors():
        return SqlStore(await Sqlite.open(path))


async def open_postgresql(url: str) -> tuple[SqlStore, PostgresqlLeadership]:
    """Open a database, making its tables or migrating them; with the lead among the registries on it.

    Raises FailedPrecondition for one of a later release or a wrong login, Unavailable when it does not answer.
    """
    # Imported here: a registry with a database of its own is smaller without it.
    from services.registry.database.postgresql import Postgresql

    async with database_errors():
        database = await Postgresql.open(url)
    return SqlStore(database), database.leadership()
