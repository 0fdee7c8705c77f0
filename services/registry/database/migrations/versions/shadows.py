"""Shadows, A/B tests, and conditions of rollouts that people give."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "shadows"
down_revision = "alembic"


def upgrade() -> None:
    """Plans get what they may hold now; those that are there hold none of it."""
    for column in (
        sa.Column("shadow", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sticky_by", sa.String(64), nullable=False, server_default=""),
        sa.Column("metrics", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("margins", sa.JSON, nullable=False, server_default="{}"),
    ):
        op.add_column("rollouts", column)
