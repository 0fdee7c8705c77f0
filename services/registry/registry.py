"""The registry's parts, put together: opened, served and closed as one."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from lepton_ai.mesh.discovery.leader import Leader, Work
from lepton_ai.mesh.discovery.state import StateStore
from services.registry.audit.trail import AuditTrail
from services.registry.backup.backups import Backups
from services.registry.catalogue.catalogue import Catalogue
from services.registry.catalogue.disposal import Disposal
from services.registry.catalogue.lifecycle import Lifecycle
from services.registry.catalogue.search import Search
from services.registry.completion import Completion
from services.registry.database.sql_store import SqlStore, open_postgresql, open_sqlite
from services.registry.deployments.deployments import Deployments
from services.registry.deployments.publisher import Publisher
from services.registry.deployments.settlement import Settlement
from services.registry.inspection.inspection import Inspection
from services.registry.leader import DatabaseLeadership
from services.registry.pushes.nearby import NearbyFiles
from services.registry.pushes.pushes import Pushes, PushLimits
from services.registry.pushes.variants import Announce
from services.registry.rollouts.driver import RolloutDriver
from services.registry.rollouts.opinions import Opinions
from services.registry.rollouts.prometheus import MetricSource
from services.registry.rollouts.rollouts import Rollouts
from services.registry.servicer import RegistryParts, RegistryServicer
from services.registry.settings import RegistrySettings
from services.registry.signing.signatures import Signatures
from services.registry.storage.blobs import open_blobs
from services.registry.storage.check import StorageCheck
from services.registry.storage.collector import Collector
from services.registry.storage.data_directory import DataDirectory
from services.registry.storage.pins import Pins
from services.registry.webhooks.sender import WebhookSender
from services.registry.webhooks.sending import WebhookClient
from services.registry.webhooks.webhooks import Webhooks


class Registry:
    """Everything behind the servicer. `open` it, serve `.servicer`, `close` it."""

    def __init__(
        self,
        settings: RegistrySettings,
        state: StateStore,
        directory: DataDirectory,
        store: SqlStore,
        leadership: DatabaseLeadership | None = None,
        opinions: Opinions | None = None,
        metrics: MetricSource | None = None,
    ) -> None:
        """Use `open`."""
        self._directory = directory
        self._store = store
        self._blobs = open_blobs(settings.blobs_url or str(directory.blobs))
        self._completion = Completion()
        self._inspection = _inspection(settings)
        pins = Pins()
        signatures = Signatures(store=store, completion=self._completion, check=settings.signature_check())
        settlement = Settlement(state, state_address=settings.etcd_address)
        deployments = Deployments(
            store=store, settlement=settlement, completion=self._completion, check_servable=signatures.check_servable
        )
        rollouts = partial(
            Rollouts,
            settlement=settlement,
            deployments=deployments,
            completion=self._completion,
            has_metrics=settings.prometheus_url is not None or metrics is not None,
        )
        # What only a leader does makes sure, in each of its transactions, that it leads.
        acting = store if leadership is None else store.checked(leadership.check)
        driver = RolloutDriver.with_settings(settings, rollouts(store=acting), state, opinions, metrics)
        self.publisher = Publisher(store=acting, state=state, interval_s=settings.republish_interval_s)
        is_alone = leadership is None
        self._disposal = Disposal(
            acting, self._blobs, pins, directory.kept, grace_s=settings.delete_after_s, is_alone=is_alone
        )
        self._webhook_client = WebhookClient(settings.webhook_reach)
        work: list[Work] = [self.publisher, driver, self._disposal, WebhookSender(acting, self._webhook_client)]
        collecting = [] if is_alone else [Collector(acting, self._blobs)]
        self._leader = Leader(leadership, state, [*work, *collecting])
        self.servicer = RegistryServicer(
            RegistryParts(
                audit=AuditTrail(store),
                backups=Backups(store, self._blobs, directory, self._completion),
                catalogue=Catalogue(store, self._blobs, directory.kept, pins),
                pushes=self._pushes(settings, pins, deployments.announce_variants, is_alone=is_alone),
                storage_check=StorageCheck(store, self._blobs, lambda: pins.held),
                nearby=self._nearby(settings),
                deployments=deployments,
                lifecycle=Lifecycle(store, self._completion),
                rollouts=rollouts(store=store),
                search=Search(store, self._completion),
                signatures=signatures,
                tokens=settings.tokens(),
                webhooks=Webhooks(store, self._webhook_client, self._completion),
            )
        )

    def _nearby(self, settings: RegistrySettings) -> NearbyFiles:
        return NearbyFiles(
            self._directory,
            self._completion,
            limits=settings.package_limits,
            concurrent=settings.max_concurrent_pushes,
        )

    def _pushes(self, settings: RegistrySettings, pins: Pins, announce: Announce, *, is_alone: bool) -> Pushes:
        return Pushes(
            store=self._store,
            blobs=self._blobs,
            directory=self._directory,
            inspection=self._inspection,
            completion=self._completion,
            pins=pins,
            limits=PushLimits(settings.package_limits, settings.max_concurrent_pushes, is_alone=is_alone),
            announce=announce,
        )

    @classmethod
    async def open(
        cls,
        settings: RegistrySettings,
        state: StateStore,
        opinions: Opinions | None = None,
        metrics: MetricSource | None = None,
    ) -> Registry:
        """Open the data directory and throw away what a killed process left unfinished.

        `opinions` says what users think of versions; without it rollouts are judged by the calls alone. `metrics`
        answers conditions on metrics where the settings name no Prometheus.

        Raises FailedPrecondition when another registry uses it, or a later release wrote it.
        """
        directory = DataDirectory(settings.data_dir, settings.keep_limits)
        directory.open()
        try:
            store, leadership = await _open_store(settings, directory)
        except BaseException:
            directory.close()
            raise
        registry = cls(settings, state, directory, store, leadership, opinions, metrics)
        try:
            if leadership is None:
                async with store.reading() as reading:
                    await registry._blobs.keep_only(await reading.all_files())
                async with store.writing() as writing:
                    await writing.forget_broken_pushes(before=datetime.now(UTC))
        except BaseException:
            await registry.close()
            raise
        registry._leader.start()
        return registry

    async def dispose(self) -> int:
        """Delete what is left of deleted versions now, rather than in a moment; returns how many files."""
        return await self._disposal.dispose()

    async def close(self) -> None:
        """Finish what has begun, then close the database and unlock the directory."""
        await self._leader.close()
        await self._webhook_client.close()
        await self._completion.close()
        await self._inspection.close()
        await self._store.close()
        self._directory.close()


def _inspection(settings: RegistrySettings) -> Inspection:
    return Inspection(
        settings.package_limits,
        settings.inspection_limits,
        triton_backend=settings.triton_backend,
        dry_run=settings.dry_run,
    )


async def _open_store(
    settings: RegistrySettings, directory: DataDirectory
) -> tuple[SqlStore, DatabaseLeadership | None]:
    """The store, and the lead among the registries on it where there may be several."""
    if url := settings.read_database_url():
        return await open_postgresql(url)
    return await open_sqlite(directory.database), None
