"""Who ended a rollout."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "ended_by"
down_revision = "variant_rollouts"


def upgrade() -> None:
    """Of the rollouts that are there nobody is named."""
    op.add_column("rollouts", sa.Column("ended_by", sa.String(255), nullable=False, server_default=""))
