"""The seam to the registry's database: records, and the transactions in which they are read and changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.registry.rollouts.record import NewRollout, RolloutRecord


@dataclass(frozen=True)
class FileRecord:
    """One file of a version."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class NewVersion:
    """A checked package that is to become the next version of its model."""

    model: str
    digest: str
    description: str
    files: tuple[FileRecord, ...]


@dataclass(frozen=True)
class VersionRecord:
    """An immutable version."""

    model: str
    version: int
    digest: str
    description: str
    created_at: datetime
    files: tuple[FileRecord, ...]

    @property
    def size_bytes(self) -> int:
        """Sum over the files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class RouteTarget:
    """The weight that a version has in an alias's route."""

    alias: str
    version: int
    weight: int


@dataclass(frozen=True)
class DeploymentRecord:
    """What is asked to be served of a model. `generation` grows with every change, also across undeploy and
    redeploy."""

    model: str
    generation: int
    versions: tuple[int, ...]
    routes: tuple[RouteTarget, ...]


@dataclass(frozen=True)
class AuditEntry:
    """Who changed what. `before` and `after` are what the change touched, as plain JSON."""

    actor: str
    action: str
    model: str
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None


class Reading(Protocol):
    """A consistent view of the database."""

    async def models(self) -> Sequence[str]:
        """Names of all models, sorted."""

    async def versions(self, model: str) -> Sequence[VersionRecord]:
        """All versions of a model, newest first."""

    async def version(self, model: str, number: int) -> VersionRecord | None:
        """One version; number 0 means the newest."""

    async def version_of_digest(self, model: str, digest: str) -> VersionRecord | None:
        """The version with this content."""

    async def aliases(self, model: str) -> Mapping[str, int]:
        """Alias → version."""

    async def deployment(self, model: str) -> DeploymentRecord | None:
        """What is asked to be served of a model; None when nothing is."""

    async def deployed_models(self) -> Sequence[str]:
        """Names of the models that are asked to be served, sorted."""

    async def live_rollout(self, model: str) -> RolloutRecord | None:
        """The rollout of a model that somebody must look after; there is at most one."""

    async def rollouts(self, model: str = "", *, only_live: bool = False, limit: int = 100) -> Sequence[RolloutRecord]:
        """Those of a model, or of all, the newest first."""

    async def known_files(self, sha256: Collection[str]) -> frozenset[str]:
        """Those of the hashes that some version holds."""

    async def all_files(self) -> frozenset[str]:
        """The hashes of every file of every version."""


class Writing(Reading, Protocol):
    """A transaction that excludes every other writer until it ends."""

    async def add_version(self, new: NewVersion) -> VersionRecord:
        """Record the next version of a model."""

    async def set_alias(self, model: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, or (None) remove it."""

    async def set_deployment(self, model: str, versions: Collection[int], routes: Collection[RouteTarget]) -> None:
        """Replace what is asked to be served; nothing for an undeployed model. Does not touch the generation."""

    async def set_generation(self, model: str, generation: int) -> None:
        """Set the model's generation; it must only grow."""

    async def generation(self, model: str) -> int:
        """The model's generation, 0 before its first deployment. An undeploy keeps it."""

    async def add_rollout(self, new: NewRollout) -> RolloutRecord:
        """Record a rollout; one that is under way is live. A model may have one live rollout."""

    async def set_rollout(self, record: RolloutRecord) -> None:
        """Write what has changed of a rollout."""

    async def record(self, entry: AuditEntry) -> None:
        """Append to the audit trail."""


class Store(Protocol):
    """The registry's database."""

    def reading(self) -> AbstractAsyncContextManager[Reading]:
        """A read-only transaction."""

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """A transaction, committed durably at the end of the block and rolled back when it raises."""

    async def close(self) -> None:
        """Close all connections."""
