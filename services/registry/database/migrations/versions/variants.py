"""Variants of versions, their files and signatures; and which of them a model lets answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "variants"
down_revision = "lifecycle"


def upgrade() -> None:
    """Create their tables. Models that are there let only the originals answer, as before."""
    op.add_column("models", sa.Column("variant_policy", sa.String(16), nullable=False, server_default="exact"))
    op.create_table(
        "variants",
        sa.Column("model", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("dry_run", sa.String(500), nullable=False),
        sa.Column("lineage", sa.JSON, nullable=True),
        sa.Column("optimised", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    )
    op.create_table(
        "variant_files",
        *_key(),
        sa.Column("path", sa.String(1024), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _reference(),
    )
    op.create_table(
        "variant_signatures",
        *_key(),
        sa.Column("bundle", sa.LargeBinary, nullable=False),
        sa.Column("signer", sa.String(255), nullable=False),
        sa.Column("is_verified", sa.Boolean, nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        _reference(),
    )
    op.create_index("variant_files_by_sha256", "variant_files", ["sha256"])


def _key() -> tuple[sa.Column[str], sa.Column[int], sa.Column[str]]:
    return (
        sa.Column("model", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("variant", sa.String(64), primary_key=True),
    )


def _reference() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["model", "version", "variant"], ["variants.model", "variants.version", "variants.name"]
    )
