"""Signatures in the registry's database."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.database.schema import signatures, variant_signatures
from services.registry.signing.record import SignatureRecord

_NAMES_PER_QUERY = 500  # SQLite bounds the number of parameters


class SignatureReading:
    """Queries of signatures in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def signature(self, model: str, version: int, variant: str = "") -> SignatureRecord | None:
        table, its = _place(model, version, variant)
        row = (await self._connection.execute(select(table).where(*its))).first()
        if row is None:
            return None
        signed_at = row.signed_at.replace(tzinfo=UTC)  # SQLite forgets the time zone
        return SignatureRecord(model, version, row.bundle, row.signer, row.is_verified, row.actor, signed_at, variant)

    async def signed(self, models: Collection[str]) -> frozenset[tuple[str, int]]:
        wanted, found = sorted(models), set[tuple[str, int]]()
        for start in range(0, len(wanted), _NAMES_PER_QUERY):
            among = signatures.c.model.in_(wanted[start : start + _NAMES_PER_QUERY])
            rows = await self._connection.execute(select(signatures.c.model, signatures.c.version).where(among))
            found.update((model, version) for model, version in rows)
        return frozenset(found)


class SignatureWriting(SignatureReading):
    """Changes of signatures in one transaction."""

    async def set_signature(self, record: SignatureRecord) -> None:
        table, its = _place(record.model, record.version, record.variant)
        await self._connection.execute(delete(table).where(*its))
        values: dict[str, Any] = {name: value for name, value in vars(record).items() if name in table.columns}
        await self._connection.execute(insert(table).values(**values))


def _place(model: str, version: int, variant: str) -> tuple[Table, tuple[ColumnElement[bool], ...]]:
    """The table, and the condition for the row, of a version's or a variant's signature."""
    if variant:
        table = variant_signatures
        return table, (table.c.model == model, table.c.version == version, table.c.variant == variant)
    return signatures, (signatures.c.model == model, signatures.c.version == version)
