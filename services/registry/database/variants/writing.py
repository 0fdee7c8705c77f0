"""Changes of variants, and of what models let answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, insert, tuple_, update

from services.registry.database.schema import models, variant_files, variant_signatures, variants
from services.registry.database.store import NewVariant
from services.registry.database.variants.reading import VariantReading

_MAX_DRY_RUN = 500


class VariantWriting(VariantReading):
    """Changes of variants in one transaction."""

    async def add_variant(self, new: NewVariant) -> None:
        key = {"model": new.model, "version": new.version}
        await self._connection.execute(
            insert(variants).values(
                **key,
                name=new.name,
                digest=new.digest,
                created_at=datetime.now(UTC),
                actor=new.actor,
                dry_run=new.dry_run[:_MAX_DRY_RUN],
                lineage=new.lineage,
                optimised=dict(new.optimised),
            )
        )
        rows = [
            {**key, "variant": new.name, "path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}
            for file in new.files
        ]
        await self._connection.execute(insert(variant_files), rows)

    async def forget_variants(self, versions: Sequence[tuple[str, int]]) -> None:
        """Remove the variants of these versions."""
        for table in (variant_signatures, variant_files, variants):
            await self._connection.execute(delete(table).where(tuple_(table.c.model, table.c.version).in_(versions)))

    async def pin_variant(self, model: str, version: int, name: str) -> None:
        query = update(variants).where(variants.c.model == model, variants.c.version == version)
        await self._connection.execute(query.values(is_pinned=variants.c.name == name))

    async def set_variant_policy(self, model: str, policy: str) -> None:
        await self._connection.execute(update(models).where(models.c.name == model).values(variant_policy=policy))
