"""The registry's tables, as the newest migration leaves them (`migrations/`)."""

from __future__ import annotations

from sqlalchemy import (
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
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()

# Releases before Alembic look here, and find a number that they refuse.
schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

models = Table(
    "models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("generation", BigInteger, nullable=False, default=0),
    Column("variant_policy", String(16), nullable=False, server_default="exact"),
)

versions = Table(
    "versions",
    metadata,
    Column("model", ForeignKey("models.name"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("description", String(2000), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("state", String(16), nullable=False, server_default="ready"),
    Column("reason", String(2000), nullable=False, server_default=""),
    Column("changed_at", DateTime(timezone=True), nullable=True),
    Column("dry_run", String(500), nullable=False, server_default=""),
    Column("lineage", JSON(none_as_null=True), nullable=True),
    # What is deleted may be pushed again.
    Index(
        "versions_by_digest",
        "model",
        "digest",
        unique=True,
        sqlite_where=text("state <> 'deleted'"),
        postgresql_where=text("state <> 'deleted'"),
    ),
)

pushes = Table(
    "pushes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(2000), nullable=False),
    Column("fix", String(2000), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("pushes_by_model", "model", "id"),
)
"""Those that have not made a version: under way, or rejected."""

tags = Table(
    "tags",
    metadata,
    Column("model", ForeignKey("models.name"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("key", String(64), primary_key=True),
    Column("value", String(500), nullable=False),
    Index("tags_by_key", "key", "value"),
)
"""Version 0 has those of the model itself."""

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

variants = Table(
    "variants",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("dry_run", String(500), nullable=False),
    Column("lineage", JSON, nullable=True),
    # How it was made and what was measured, as its lepton.yaml says.
    Column("optimised", JSON, nullable=False),
    # Of a version at most one: it answers in its place.
    Column("is_pinned", Boolean, nullable=False, server_default=false()),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

_OF_VARIANT = ["variants.model", "variants.version", "variants.name"]

variant_files = Table(
    "variant_files",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("variant", String(64), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    ForeignKeyConstraint(["model", "version", "variant"], _OF_VARIANT),
    Index("variant_files_by_sha256", "sha256"),
)

variant_signatures = Table(
    "variant_signatures",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("variant", String(64), primary_key=True),
    Column("bundle", LargeBinary, nullable=False),
    Column("signer", String(255), nullable=False),
    Column("is_verified", Boolean, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("signed_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["model", "version", "variant"], _OF_VARIANT),
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
    # Of a rollout within one version: the variants that it goes to and comes from.
    Column("variant", String(64), nullable=False, server_default=""),
    Column("old_variant", String(64), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("shares", JSON, nullable=False),
    Column("step_s", Float, nullable=False),
    Column("bake_s", Float, nullable=False),
    Column("is_judged", Boolean, nullable=False),
    Column("shadow", Integer, nullable=False, server_default="0"),
    Column("sticky_by", String(64), nullable=False, server_default=""),
    Column("metrics", JSON, nullable=False, server_default="[]"),
    Column("margins", JSON, nullable=False, server_default="{}"),
    Column("step", Integer, nullable=False),
    Column("passed_s", Float, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("judge", JSON, nullable=True),
    Column("verdict", JSON, nullable=True),
    Column("reason", String(2000), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("ended_by", String(255), nullable=False, server_default=""),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    ForeignKeyConstraint(["model", "old_version"], ["versions.model", "versions.version"]),
    Index("rollouts_by_model", "model", "id"),
    # Two rollouts of one model cannot be under way at once, whoever writes them.
    Index("rollouts_live", "model", unique=True, sqlite_where=text("is_live"), postgresql_where=text("is_live")),
)

rollout_decisions = Table(
    "rollout_decisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("rollout", ForeignKey("rollouts.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("share", Integer, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("reason", String(2000), nullable=False),
    # The numbers that it was decided by.
    Column("verdict", JSON, nullable=True),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    Index("rollout_decisions_by_rollout", "rollout", "id"),
)

signatures = Table(
    "signatures",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("bundle", LargeBinary, nullable=False),
    Column("signer", String(255), nullable=False),
    Column("is_verified", Boolean, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("signed_at", DateTime(timezone=True), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("url", String(2000), nullable=False),
    Column("events", JSON, nullable=False),
    Column("secret", String(255), nullable=False),
    Column("description", String(500), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("webhook_id", ForeignKey("webhooks.id"), nullable=False),
    Column("delivery_id", String(36), nullable=False),
    Column("event", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("status", Integer, nullable=True),
    Column("error", String(500), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=True),
    Index("webhook_deliveries_due", "state", "due_at"),
    Index("webhook_deliveries_by_webhook", "webhook_id", "state", "id"),
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
    Column("hash", String(64), nullable=True),
    Index("audit_by_hash", "hash", unique=True),
    Index("audit_by_model", "model", "id"),
)
