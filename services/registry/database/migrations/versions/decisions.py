"""What was decided of rollouts, each time with the numbers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "decisions"
down_revision = "ended_by"


def upgrade() -> None:
    """Of the rollouts that are there nothing is known but where they stand."""
    op.create_table(
        "rollout_decisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("rollout", sa.Integer, sa.ForeignKey("rollouts.id"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("share", sa.Integer, nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(2000), nullable=False),
        sa.Column("verdict", sa.JSON, nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("rollout_decisions_by_rollout", "rollout_decisions", ["rollout", "id"])
