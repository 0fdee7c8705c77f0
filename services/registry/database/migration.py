"""Brings a database to the schema of this release, in the transaction that is under way."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from lepton_ai.errors import FailedPrecondition

_SCRIPTS = "services.registry.database:migrations"
_BEFORE_ALEMBIC = {1: "models", 2: "rollouts"}
"""Schemas of releases before Alembic → the revision that they are."""
_LOG = logging.getLogger(__name__)


def migrate(connection: Connection) -> None:
    """Run what is missing, from nothing at all or from any earlier release. Whoever calls it commits, or takes it back.

    Only one at a time in a process. Raises FailedPrecondition for a database of a later release.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it says at every start what it would not do
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _SCRIPTS)
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    current = _current(connection, known={script.revision for script in scripts.walk_revisions()})
    if current == newest:
        return
    if current is not None:
        _LOG.info("migrating the database", extra={"from": current, "to": newest})
        command.stamp(config, current)
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite":
        _check_references(connection)


def _check_references(connection: Connection) -> None:
    """SQLite does not look at them while tables are replaced by their copies."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise RuntimeError(f"after the migration, table {broken[0]} refers to what is not in {broken[2]}")


def _current(connection: Connection, known: set[str]) -> str | None:
    """The revision that a database has, None for a new one."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None and sa.inspect(connection).has_table("schema_version"):
        number = connection.execute(sa.text("SELECT max(version) FROM schema_version")).scalar()
        if number not in _BEFORE_ALEMBIC:
            raise _later(f"schema {number}")
        return _BEFORE_ALEMBIC[number]
    if revision is not None and revision not in known:
        raise _later(f"revision {revision}")
    return revision


def _later(found: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The registry's database has {found}, which this release does not know.",
        reason="DATABASE_OF_LATER_RELEASE",
        fix="Run the release that wrote it, or a later one.",
    )
