"""All rows of the registry's database, out of it and into an empty one, whatever database it is."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Select, Table, exists, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from lepton_ai.backup.dump import Row
from lepton_ai.errors import DataLoss
from services.registry.catalogue.record import VersionState
from services.registry.database.schema import files, metadata, variant_files, versions

_NOT_DUMPED = frozenset({"schema_version"})
_BATCH = 500
TABLES = {table.name: table for table in metadata.sorted_tables if table.name not in _NOT_DUMPED}
"""In an order in which each refers only to those before it."""


class DumpReading:
    """All rows, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def revision(self) -> str:
        return str((await self._connection.execute(text("SELECT version_num FROM alembic_version"))).scalar())

    async def dump(self) -> AsyncIterator[Row]:
        for table in TABLES.values():
            rows = await self._connection.stream(_query(table))
            async for row in rows:
                yield table.name, {column.name: _encode(column, row._mapping[column]) for column in table.columns}

    async def is_empty(self) -> bool:
        for table in TABLES.values():
            if (await self._connection.execute(select(func.count()).select_from(table))).scalar():
                return False
        return True


class DumpWriting(DumpReading):
    """All rows, written in one transaction."""

    async def load(self, rows: Iterable[Row]) -> int:
        """Write rows, which come table by table. Raises DataLoss for what no table takes."""
        count, batch, current = 0, list[dict[str, Any]](), ""
        for name, row in rows:
            if name != current or len(batch) >= _BATCH:
                await self._insert(current, batch)
                batch, current = [], name
            batch.append(_decode(name, row))
            count += 1
        await self._insert(current, batch)
        if self._connection.dialect.name == "postgresql":
            await self._advance_sequences()
        return count

    async def _insert(self, name: str, batch: Sequence[dict[str, Any]]) -> None:
        if batch:
            await self._connection.execute(insert(TABLES[name]), batch)

    async def _advance_sequences(self) -> None:
        """PostgreSQL counts on from where it was, not from the rows that were given numbers."""
        for table in TABLES.values():
            column = table.autoincrement_column
            if column is None or not isinstance(column.type, Integer):
                continue
            newest = (await self._connection.execute(select(func.max(column)))).scalar()
            sequence = (
                await self._connection.execute(select(func.pg_get_serial_sequence(table.name, column.name)))
            ).scalar()
            if newest is not None and sequence is not None:
                await self._connection.execute(select(func.setval(sequence, newest)))


def _query(table: Table) -> Select[Any]:
    """All rows, but of deleted versions not the files: they may be gone, and belong to nobody any more."""
    query = select(table).order_by(*table.primary_key.columns)
    if table not in (files, variant_files):
        return query
    is_its = (versions.c.model == table.c.model, versions.c.version == table.c.version)
    return query.where(exists().where(*is_its, versions.c.state != VersionState.DELETED.value))


def _encode(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, DateTime):  # SQLite forgets the time zone; everything is written in UTC
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(column.type, LargeBinary):
        return base64.b64encode(value).decode()
    return value


def _decode(name: str, row: dict[str, Any]) -> dict[str, Any]:
    table: Table | None = TABLES.get(name)
    if table is None or row.keys() != {column.name for column in table.columns}:
        raise DataLoss(
            f"The backup has rows of {name[:64]!r} that this release does not know.",
            reason="BACKUP_DAMAGED",
            fix="Restore it with the release that made it.",
        )
    try:
        return {column.name: _decoded(column, row[column.name]) for column in table.columns}
    except (TypeError, ValueError) as error:
        raise DataLoss("The backup holds values of another kind.", reason="BACKUP_DAMAGED") from error


def _decoded(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, DateTime):
        return datetime.fromisoformat(value)
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(value)
    return value
