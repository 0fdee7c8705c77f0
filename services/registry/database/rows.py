"""Rows of the database as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import Row

from services.registry.catalogue.record import VersionState
from services.registry.database.store import FileRecord, VariantRecord, VersionRecord

_STATES = {state.value: state for state in VersionState}


def version_record(
    row: Row[Any], files: Sequence[FileRecord], tags: Mapping[str, str], variants: Sequence[VariantRecord] = ()
) -> VersionRecord:
    """A version, from a row of the table of versions, with its files, tags and variants."""
    # By place, as in the table: pages have a thousand of them, and names cost twice as much.
    model, version, digest, description, created_at, state, reason, changed_at, dry_run, lineage = tuple(row)[:10]
    # SQLite forgets the time zone; everything is written in UTC.
    return VersionRecord(
        model,
        version,
        digest,
        description,
        created_at.replace(tzinfo=UTC),
        tuple(files),
        _STATES[state],
        reason,
        changed_at and changed_at.replace(tzinfo=UTC),
        dry_run,
        lineage,
        tags,
        tuple(variants),
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
