"""The seam to the registry's database: records, and the transactions in which they are read and changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from lepton_ai.backup.dump import Row
from services.registry.audit.chain import ChainedEntry
from services.registry.catalogue.filters import Term
from services.registry.catalogue.record import NewPush, PushRecord, VersionState
from services.registry.rollouts.record import Decision, NewRollout, RolloutRecord
from services.registry.signing.record import SignatureRecord
from services.registry.webhooks.record import DeliveryRecord, NewWebhook, WebhookRecord


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
    dry_run: str = ""
    lineage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class NewVariant:
    """A checked package that is to become a variant of a version."""

    model: str
    version: int
    name: str
    digest: str
    files: tuple[FileRecord, ...]
    actor: str
    optimised: Mapping[str, Any]
    """How it was made and what was measured, as its lepton.yaml says."""
    dry_run: str = ""
    lineage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class VariantRecord:
    """An immutable variant of a version: the same network in another form, with files of its own."""

    model: str
    version: int
    name: str
    digest: str
    created_at: datetime
    files: tuple[FileRecord, ...]
    optimised: Mapping[str, Any]
    dry_run: str = ""
    lineage: Mapping[str, Any] | None = None
    signer: str = ""
    is_pinned: bool = False
    """Whether it answers in place of its version."""

    @property
    def size_bytes(self) -> int:
        """Sum over the files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class VersionRecord:
    """An immutable version."""

    model: str
    version: int
    digest: str
    description: str
    created_at: datetime
    files: tuple[FileRecord, ...]
    state: VersionState = VersionState.READY
    reason: str = ""
    changed_at: datetime | None = None
    dry_run: str = ""
    lineage: Mapping[str, Any] | None = None
    """As the package says it, plain JSON."""
    tags: Mapping[str, str] = field(default_factory=dict)
    variants: tuple[VariantRecord, ...] = ()
    """The oldest first."""
    known_size_bytes: int | None = None
    """Of a record without its files."""

    @property
    def pinned(self) -> str:
        """The variant that answers in its place; empty where none was said to."""
        return next((variant.name for variant in self.variants if variant.is_pinned), "")

    @property
    def size_bytes(self) -> int:
        """Sum over the files."""
        return sum(file.size_bytes for file in self.files) if self.known_size_bytes is None else self.known_size_bytes


@dataclass(frozen=True)
class VersionSummary:
    """A version whose files are counted and not listed."""

    record: VersionRecord
    """Without its files."""
    size_bytes: int


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


@dataclass(frozen=True)
class AuditFilter:
    """Which entries are wanted; what is empty leaves all of them."""

    model: str = ""
    action: str = ""
    actor: str = ""
    """A part of it."""
    since: datetime | None = None
    before: int = 0
    """Only entries with lower ids."""


class Reading(Protocol):
    """A consistent view of the database."""

    async def page_of_models(self, *, after: str, limit: int) -> Sequence[str]:
        """The next names of models with a version that is not deleted, sorted."""

    async def summaries(self, models: Collection[str]) -> Mapping[str, Sequence[VersionSummary]]:
        """The versions of each model that are not deleted, newest first."""

    async def aliases_of(self, models: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Model → alias → version, for those that have any."""

    async def models(self) -> Sequence[str]:
        """Names of all models, sorted."""

    async def versions(self, model: str) -> Sequence[VersionRecord]:
        """All versions of a model that are not deleted, newest first."""

    async def version(self, model: str, number: int) -> VersionRecord | None:
        """One version, also a deleted one; number 0 means the newest that is ready."""

    async def newest_number(self, model: str) -> int:
        """The highest number that was ever given, 0 for a model that does not exist."""

    async def version_of_digest(self, model: str, digest: str) -> VersionRecord | None:
        """The version with this content that is not deleted."""

    async def pushes(self, model: str = "", *, limit: int = 100) -> Sequence[PushRecord]:
        """Pushes that have not made a version, of a model or of all, the newest first."""

    async def tags(self, model: str) -> Mapping[int, Mapping[str, str]]:
        """Version → key → value; version 0 has those of the model."""

    async def search(
        self, terms: Sequence[Term], *, after: tuple[str, int] | None, limit: int
    ) -> Sequence[VersionRecord]:
        """Versions, without their files, for which all terms hold, by name and then the newest first; those behind
        `after` (model and version). Deleted ones only when a term asks for a state."""

    async def files_of_deleted(self, *, before: datetime) -> Mapping[tuple[str, int], frozenset[str]]:
        """Versions that were deleted before, as far as their files are still kept → the hashes of these."""

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

    async def decisions(self, rollout_id: int, *, limit: int) -> Sequence[Decision]:
        """What was decided of a rollout, the newest first."""

    async def variant_policy(self, model: str) -> str:
        """Which variants a model lets answer: "exact", "auto" or "deadline"."""

    async def signature(self, model: str, version: int, variant: str = "") -> SignatureRecord | None:
        """The signature of a version, or of a variant of it."""

    async def signed(self, models: Collection[str]) -> frozenset[tuple[str, int]]:
        """Model and number of those of their versions that somebody has signed."""

    async def audit_entries(self, wanted: AuditFilter, *, limit: int) -> Sequence[ChainedEntry]:
        """Entries of the audit trail, the newest first."""

    async def audit_chain(self, *, after: int, limit: int) -> Sequence[ChainedEntry]:
        """Entries with higher ids than `after`, in their order."""

    async def webhooks(self) -> Sequence[WebhookRecord]:
        """All webhooks, the oldest first."""

    async def deliveries(self, webhook_id: int, *, limit: int) -> Sequence[DeliveryRecord]:
        """Deliveries of a webhook, the newest first."""

    async def due_deliveries(self, now: datetime, *, limit: int) -> Sequence[DeliveryRecord]:
        """Deliveries that are to be sent now, the longest due first."""

    async def revision(self) -> str:
        """Of the database's schema."""

    def dump(self) -> AsyncIterator[Row]:
        """Every row of every table, those that are referred to first."""

    async def is_empty(self) -> bool:
        """Whether there is no row at all."""

    async def known_files(self, sha256: Collection[str]) -> frozenset[str]:
        """Those of the hashes that some version holds."""

    async def all_files(self) -> frozenset[str]:
        """The hashes of every file of every version."""


class Writing(Reading, Protocol):
    """A transaction that excludes every other writer until it ends."""

    async def add_version(self, new: NewVersion) -> VersionRecord:
        """Record the next version of a model."""

    async def add_variant(self, new: NewVariant) -> None:
        """Record a variant of a version that is there."""

    async def set_variant_policy(self, model: str, policy: str) -> None:
        """Say which variants a model lets answer."""

    async def pin_variant(self, model: str, version: int, name: str) -> None:
        """Have a variant answer in place of its version, and none with an empty name."""

    async def set_version_state(self, model: str, version: int, state: VersionState, reason: str) -> None:
        """Move a version into another state."""

    async def forget_files(self, versions: Sequence[tuple[str, int]]) -> None:
        """Forget which files and variants these versions had."""

    async def set_tag(self, model: str, version: int, key: str, value: str | None) -> None:
        """Set a tag, or (None) remove it; version 0 is the model."""

    async def add_push(self, new: NewPush) -> int:
        """Record a push that begins; returns its id."""

    async def set_push(self, push: int, state: VersionState, *, reason: str = "", fix: str = "") -> None:
        """Move a push into another state."""

    async def forget_push(self, push: int) -> None:
        """Remove a push: it has made a version, or broke off."""

    async def forget_old_pushes(self, *, keep: int) -> None:
        """Remove all but the newest."""

    async def forget_broken_pushes(self, *, before: datetime) -> None:
        """Remove those under way about which nothing was heard since."""

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

    async def add_decision(self, record: RolloutRecord, actor: str) -> None:
        """Record that a rollout has come to where it stands, with what is known of it now."""

    async def set_signature(self, record: SignatureRecord) -> None:
        """Keep a version's signature, in place of an earlier one."""

    async def load(self, rows: Iterable[Row]) -> int:
        """Write the rows of a dump into an empty database; returns how many. Raises DataLoss."""

    async def add_webhook(self, new: NewWebhook) -> WebhookRecord:
        """Record a webhook."""

    async def delete_webhook(self, webhook_id: int) -> None:
        """Forget a webhook with its deliveries."""

    async def set_delivery(self, record: DeliveryRecord) -> None:
        """Write what has become of a delivery."""

    async def postpone_deliveries(self, webhook_id: int, until: datetime) -> None:
        """Send nothing of a webhook before this time."""

    async def prune_deliveries(self, *, keep: int) -> None:
        """Delete finished deliveries but for the newest of each webhook."""

    async def record(self, entry: AuditEntry) -> None:
        """Append to the audit trail and its chain, and put what there is to tell of it into the webhooks' outbox."""


class Store(Protocol):
    """The registry's database."""

    def reading(self) -> AbstractAsyncContextManager[Reading]:
        """A read-only transaction."""

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """A transaction, committed durably at the end of the block and rolled back when it raises."""

    async def close(self) -> None:
        """Close all connections."""
