"""Signatures of versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "signatures"
down_revision = "shadows"


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "signatures",
        sa.Column("model", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("bundle", sa.LargeBinary, nullable=False),
        sa.Column("signer", sa.String(255), nullable=False),
        sa.Column("is_verified", sa.Boolean, nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    )
