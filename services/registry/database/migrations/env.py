"""What Alembic runs to migrate: on the connection, and in the transaction, that `migration.py` has begun."""

from __future__ import annotations

from alembic import context

# SQLite can change little of a table: what it cannot is done by copying the table.
context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
