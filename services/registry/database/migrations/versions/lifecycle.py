"""Versions have states, lineage and tags; pushes that made no version are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "lifecycle"
down_revision = "webhooks"

_NOT_DELETED = sa.text("state <> 'deleted'")
_NAMES = {"uq": "versions_%(column_0_name)s_digest_key"}
"""SQLite has no names for constraints, PostgreSQL has given this one."""


def upgrade() -> None:
    """Every version so far is ready."""
    with op.batch_alter_table("versions", naming_convention=_NAMES) as versions:
        versions.add_column(sa.Column("state", sa.String(16), nullable=False, server_default="ready"))
        versions.add_column(sa.Column("reason", sa.String(2000), nullable=False, server_default=""))
        versions.add_column(sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
        versions.add_column(sa.Column("dry_run", sa.String(500), nullable=False, server_default=""))
        versions.add_column(sa.Column("lineage", sa.JSON, nullable=True))
        versions.drop_constraint("versions_model_digest_key", type_="unique")
    op.create_index(
        "versions_by_digest",
        "versions",
        ["model", "digest"],
        unique=True,
        sqlite_where=_NOT_DELETED,
        postgresql_where=_NOT_DELETED,
    )
    op.create_table(
        "pushes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(2000), nullable=False),
        sa.Column("fix", sa.String(2000), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("pushes_by_model", "pushes", ["model", "id"])
    op.create_table(
        "tags",
        sa.Column("model", sa.String(64), sa.ForeignKey("models.name"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(500), nullable=False),
    )
    op.create_index("tags_by_key", "tags", ["key", "value"])
