"""Rollouts: what releases before Alembic called schema 2."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "rollouts"
down_revision = "models"

_VERSION_KEY = ["versions.model", "versions.version"]


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(64), sa.ForeignKey("models.name"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("old_version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("shares", sa.JSON, nullable=False),
        sa.Column("step_s", sa.Float, nullable=False),
        sa.Column("bake_s", sa.Float, nullable=False),
        sa.Column("is_judged", sa.Boolean, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("passed_s", sa.Float, nullable=False),
        sa.Column("is_live", sa.Boolean, nullable=False),
        sa.Column("judge", sa.JSON, nullable=True),
        sa.Column("verdict", sa.JSON, nullable=True),
        sa.Column("reason", sa.String(2000), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], _VERSION_KEY),
        sa.ForeignKeyConstraint(["model", "old_version"], _VERSION_KEY),
    )
    op.create_index("rollouts_by_model", "rollouts", ["model", "id"])
    live = sa.text("is_live")
    op.create_index("rollouts_live", "rollouts", ["model"], unique=True, sqlite_where=live, postgresql_where=live)
