"""Rollouts of variants, and those that answer in place of their version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "variant_rollouts"
down_revision = "variants"


def upgrade() -> None:
    """Add them; nothing that is there is one."""
    op.add_column("variants", sa.Column("is_pinned", sa.Boolean, nullable=False, server_default=sa.false()))
    for name in ("variant", "old_variant"):
        op.add_column("rollouts", sa.Column(name, sa.String(64), nullable=False, server_default=""))
