"""The audit trail in the registry's database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.audit.chain import GENESIS, ChainedEntry, hash_of
from services.registry.database.schema import audit as table
from services.registry.database.store import AuditEntry, AuditFilter


class AuditReading:
    """Queries of the audit trail in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def audit_entries(self, wanted: AuditFilter, *, limit: int) -> Sequence[ChainedEntry]:
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if wanted.model:
            query = query.where(table.c.model == wanted.model)
        if wanted.action:
            query = query.where(table.c.action == wanted.action)
        if wanted.actor:
            query = query.where(table.c.actor.contains(wanted.actor, autoescape=True))
        if wanted.since is not None:
            query = query.where(table.c.at >= wanted.since)
        if wanted.before:
            query = query.where(table.c.id < wanted.before)
        return [_entry(row) for row in await self._connection.execute(query)]

    async def audit_chain(self, *, after: int, limit: int) -> Sequence[ChainedEntry]:
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        return [_entry(row) for row in await self._connection.execute(query)]


class AuditWriting(AuditReading):
    """Changes of the audit trail in one transaction."""

    async def record(self, entry: AuditEntry) -> None:
        # Writers exclude one another, so that nobody else can append to the same entry.
        newest = (
            await self._connection.execute(select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1))
        ).first()
        number, previous = (0, GENESIS) if newest is None else (newest.id, newest.hash or GENESIS)
        before, after = _as_read(entry.before), _as_read(entry.after)
        chained = ChainedEntry(number + 1, datetime.now(UTC), entry.actor, entry.action, entry.model, before, after)
        chained = replace(chained, hash=hash_of(chained, previous))
        await self._connection.execute(insert(table).values(**vars(chained)))


def _as_read(value: Mapping[str, object] | None) -> Any:
    """As JSON gives it back: what is hashed now must be what is hashed when it is read."""
    return None if value is None else json.loads(json.dumps(value))


def _entry(row: Row[Any]) -> ChainedEntry:
    at = row.at.replace(tzinfo=UTC) if row.at.tzinfo is None else row.at  # SQLite forgets the time zone
    return ChainedEntry(row.id, at, row.actor, row.action, row.model, row.before, row.after, row.hash)
