"""From here on Alembic counts. Schema 3 tells releases before it that the database is not theirs any more."""

from __future__ import annotations

from alembic import op

revision = "alembic"
down_revision = "rollouts"


def upgrade() -> None:
    """Write the number for which they look."""
    op.execute("DELETE FROM schema_version")
    op.execute("INSERT INTO schema_version (version) VALUES (3)")
