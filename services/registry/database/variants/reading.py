"""Queries of variants, and of what models let answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.database.rows import variant_record
from services.registry.database.schema import models, variant_files, variant_signatures, variants
from services.registry.database.store import FileRecord, VariantRecord

_ORIGINALS = "exact"
Variants = Mapping[tuple[str, int], Sequence[VariantRecord]]


class VariantReading:
    """Queries of variants in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def variants(self, of: Collection[str], version: int | None = None) -> Variants:
        """(model, version) → its variants, the oldest first, of these models, or of one version of them."""
        files: dict[tuple[str, int, str], list[FileRecord]] = defaultdict(list)
        listed = select(variant_files).where(variant_files.c.model.in_(of)).order_by(variant_files.c.path)
        signed = select(variant_signatures).where(variant_signatures.c.model.in_(of))
        query = select(variants).where(variants.c.model.in_(of)).order_by(variants.c.created_at, variants.c.name)
        if version is not None:
            listed = listed.where(variant_files.c.version == version)
            signed = signed.where(variant_signatures.c.version == version)
            query = query.where(variants.c.version == version)
        rows = (await self._connection.execute(query)).all()
        if not rows:
            return {}  # as for most models
        for row in await self._connection.execute(listed):
            files[row.model, row.version, row.variant].append(FileRecord(row.path, row.size_bytes, row.sha256))
        found_signers = await self._connection.execute(signed)
        signers = {(row.model, row.version, row.variant): row.signer for row in found_signers}
        found: dict[tuple[str, int], list[VariantRecord]] = defaultdict(list)
        for row in rows:
            key = (row.model, row.version, row.name)
            found[row.model, row.version].append(variant_record(row, files[key], signers.get(key, "")))
        return found

    async def variant_policy(self, model: str) -> str:
        query = select(models.c.variant_policy).where(models.c.name == model)
        return (await self._connection.execute(query)).scalar() or _ORIGINALS
