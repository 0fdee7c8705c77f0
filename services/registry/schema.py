"""The registry's tables. `schema_version` tells later releases what to migrate from."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    event,
    text,
)

SCHEMA_VERSION = 2
"""2: rollouts."""

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

models = Table(
    "models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("generation", BigInteger, nullable=False, default=0),
)

versions = Table(
    "versions",
    metadata,
    Column("model", ForeignKey("models.name"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("description", String(2000), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("model", "digest"),
)

files = Table(
    "files",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    Index("files_by_sha256", "sha256"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

deployed_versions = Table(
    "deployed_versions",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

route_targets = Table(
    "route_targets",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("weight", Integer, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["deployed_versions.model", "deployed_versions.version"]),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", ForeignKey("models.name"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("old_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("shares", JSON, nullable=False),
    Column("step_s", Float, nullable=False),
    Column("bake_s", Float, nullable=False),
    Column("is_judged", Boolean, nullable=False),
    Column("step", Integer, nullable=False),
    Column("passed_s", Float, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("judge", JSON, nullable=True),
    Column("verdict", JSON, nullable=True),
    Column("reason", String(2000), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    ForeignKeyConstraint(["model", "old_version"], ["versions.model", "versions.version"]),
    Index("rollouts_by_model", "model", "id"),
    # Two rollouts of one model cannot be under way at once, whoever writes them.
    Index("rollouts_live", "model", unique=True, sqlite_where=text("is_live"), postgresql_where=text("is_live")),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("action", String(32), nullable=False),
    Column("model", String(64), nullable=False),
    Column("before", JSON, nullable=True),
    Column("after", JSON, nullable=True),
)

for verb in ("UPDATE", "DELETE"):
    append_only = DDL(  # type: ignore[no-untyped-call]
        f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
    )
    event.listen(audit, "after_create", append_only.execute_if(dialect="sqlite"))
