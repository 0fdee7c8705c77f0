"""Rows of the database as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import Row

from services.registry.catalogue.record import VersionState
from services.registry.database.store import FileRecord, VariantRecord, VersionRecord


def version_record(
    row: Row[Any], files: Sequence[FileRecord], tags: Mapping[str, str], variants: Sequence[VariantRecord] = ()
) -> VersionRecord:
    """A version, with its files, tags and variants."""
    # SQLite forgets the time zone; everything is written in UTC.
    return VersionRecord(
        model=row.model,
        version=row.version,
        digest=row.digest,
        description=row.description,
        created_at=row.created_at.replace(tzinfo=UTC),
        files=tuple(files),
        state=VersionState(row.state),
        reason=row.reason,
        changed_at=row.changed_at and row.changed_at.replace(tzinfo=UTC),
        dry_run=row.dry_run,
        lineage=row.lineage,
        tags=tags,
        variants=tuple(variants),
    )


def variant_record(row: Row[Any], files: Sequence[FileRecord], signer: str) -> VariantRecord:
    """A variant, with its files."""
    return VariantRecord(
        model=row.model,
        version=row.version,
        name=row.name,
        digest=row.digest,
        created_at=row.created_at.replace(tzinfo=UTC),
        files=tuple(files),
        optimised=row.optimised,
        dry_run=row.dry_run,
        lineage=row.lineage,
        signer=signer,
        is_pinned=row.is_pinned,
    )
