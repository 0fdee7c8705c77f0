"""What becomes of versions, and of pushes that make none, in the registry's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.catalogue.record import NewPush, PushRecord, VersionState
from services.registry.database import schema
from services.registry.database.schema import pushes as table
from services.registry.database.variants.writing import VariantWriting

_MAX_REASON = 2000
_UNDER_WAY = (VersionState.UPLOADING.value, VersionState.CHECKING.value)


class LifecycleReading:
    """Queries of pushes, tags and deleted versions in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def newest_number(self, model: str) -> int:
        query = select(func.max(schema.versions.c.version)).where(schema.versions.c.model == model)
        return (await self._connection.execute(query)).scalar() or 0

    async def pushes(self, model: str = "", *, limit: int = 100) -> Sequence[PushRecord]:
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if model:
            query = query.where(table.c.model == model)
        return [_push(row) for row in await self._connection.execute(query)]

    async def tags(self, model: str) -> Mapping[int, Mapping[str, str]]:
        tags = schema.tags
        query = select(tags).where(tags.c.model == model).order_by(tags.c.version, tags.c.key)
        found: dict[int, dict[str, str]] = {}
        for row in await self._connection.execute(query):
            found.setdefault(row.version, {})[row.key] = row.value
        return found

    async def files_of_deleted(self, *, before: datetime) -> Mapping[tuple[str, int], frozenset[str]]:
        versions = schema.versions
        found: dict[tuple[str, int], set[str]] = {}
        for files in (schema.files, schema.variant_files):
            query = (
                select(files.c.model, files.c.version, files.c.sha256)
                .join(versions, (versions.c.model == files.c.model) & (versions.c.version == files.c.version))
                .where(versions.c.state == VersionState.DELETED.value, versions.c.changed_at < before)
            )
            for row in await self._connection.execute(query):
                found.setdefault((row.model, row.version), set()).add(row.sha256)
        return {key: frozenset(hashes) for key, hashes in found.items()}


class LifecycleWriting(LifecycleReading, VariantWriting):
    """Changes of pushes, tags and states in one transaction."""

    async def set_version_state(self, model: str, version: int, state: VersionState, reason: str) -> None:
        versions = schema.versions
        await self._connection.execute(
            update(versions)
            .where(versions.c.model == model, versions.c.version == version)
            .values(state=state.value, reason=reason[:_MAX_REASON], changed_at=datetime.now(UTC))
        )

    async def forget_files(self, versions: Sequence[tuple[str, int]]) -> None:
        files = schema.files
        await self.forget_variants(versions)
        await self._connection.execute(delete(files).where(tuple_(files.c.model, files.c.version).in_(versions)))

    async def set_tag(self, model: str, version: int, key: str, value: str | None) -> None:
        tags = schema.tags
        where = (tags.c.model == model, tags.c.version == version, tags.c.key == key)
        await self._connection.execute(delete(tags).where(*where))
        if value is not None:
            await self._connection.execute(insert(tags).values(model=model, version=version, key=key, value=value))

    async def add_push(self, new: NewPush) -> int:
        now = datetime.now(UTC)
        values = {**asdict(new), "state": VersionState.UPLOADING.value, "reason": "", "fix": ""}
        statement = insert(table).values(**values, started_at=now, changed_at=now).returning(table.c.id)
        return int((await self._connection.execute(statement)).scalar_one())

    async def set_push(self, push: int, state: VersionState, *, reason: str = "", fix: str = "") -> None:
        values = {"state": state.value, "reason": reason[:_MAX_REASON], "fix": fix[:_MAX_REASON]}
        statement = update(table).where(table.c.id == push).values(**values, changed_at=datetime.now(UTC))
        await self._connection.execute(statement)

    async def forget_push(self, push: int) -> None:
        await self._connection.execute(delete(table).where(table.c.id == push))

    async def forget_old_pushes(self, *, keep: int) -> None:
        newest = select(table.c.id).order_by(table.c.id.desc()).limit(keep)
        kept = (await self._connection.execute(newest)).scalars().all()
        if len(kept) == keep:
            await self._connection.execute(delete(table).where(table.c.id < kept[-1]))

    async def forget_broken_pushes(self, *, before: datetime) -> None:
        gone = table.c.state.in_(_UNDER_WAY) & (table.c.changed_at < before)
        await self._connection.execute(delete(table).where(gone))


def _push(row: Row[Any]) -> PushRecord:
    return PushRecord(
        id=row.id,
        model=row.model,
        digest=row.digest,
        state=VersionState(row.state),
        reason=row.reason,
        fix=row.fix,
        size_bytes=row.size_bytes,
        actor=row.actor,
        # SQLite forgets the time zone; everything is written in UTC.
        started_at=row.started_at.replace(tzinfo=UTC),
        changed_at=row.changed_at.replace(tzinfo=UTC),
    )
