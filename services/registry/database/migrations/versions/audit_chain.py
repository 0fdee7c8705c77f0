"""The audit trail becomes a chain, from its first entry on."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from services.registry.audit.chain import GENESIS, ChainedEntry, hash_of

revision = "audit_chain"
down_revision = "signatures"

_AUDIT = sa.table(
    "audit",
    sa.column("id", sa.Integer),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("actor", sa.String),
    sa.column("action", sa.String),
    sa.column("model", sa.String),
    sa.column("before", sa.JSON),
    sa.column("after", sa.JSON),
    sa.column("hash", sa.String),
)


def upgrade() -> None:
    """Entries get their hashes; meanwhile the table can be changed."""
    op.add_column("audit", sa.Column("hash", sa.String(64), nullable=True))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("DROP TRIGGER audit_no_update")
    else:
        op.execute("ALTER TABLE audit DISABLE TRIGGER audit_append_only")
    _chain(op.get_bind())
    op.create_index("audit_by_hash", "audit", ["hash"], unique=True)
    op.create_index("audit_by_model", "audit", ["model", "id"])
    if is_sqlite:
        op.execute(
            "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
    else:
        op.execute("ALTER TABLE audit ENABLE TRIGGER audit_append_only")


def _chain(connection: sa.Connection) -> None:
    previous = GENESIS
    ids = connection.execute(sa.select(_AUDIT.c.id).order_by(_AUDIT.c.id)).scalars().all()
    for number in ids:
        row = connection.execute(sa.select(_AUDIT).where(_AUDIT.c.id == number)).one()
        entry = ChainedEntry(row.id, _utc(row.at), row.actor, row.action, row.model, row.before, row.after)
        previous = hash_of(entry, previous)
        connection.execute(_AUDIT.update().where(_AUDIT.c.id == number).values(hash=previous))


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
