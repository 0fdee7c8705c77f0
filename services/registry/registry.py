"""The registry's parts, put together: opened, served and closed as one."""

from __future__ import annotations

from lepton_ai.mesh.discovery.state import StateStore
from services.registry.catalogue import Catalogue
from services.registry.completion import Completion
from services.registry.deployments import Deployments
from services.registry.inspection.inspection import Inspection
from services.registry.publisher import Publisher
from services.registry.pushes import Pushes, PushLimits
from services.registry.rollouts.driver import RolloutDriver
from services.registry.rollouts.rollouts import Rollouts
from services.registry.servicer import RegistryServicer
from services.registry.settings import RegistrySettings
from services.registry.settlement import Settlement
from services.registry.sql_store import SqlStore, open_sqlite
from services.registry.storage.blobs import FileBlobs
from services.registry.storage.check import StorageCheck
from services.registry.storage.data_directory import DataDirectory


class Registry:
    """Everything behind the servicer. `open` it, serve `.servicer`, `close` it."""

    def __init__(
        self, settings: RegistrySettings, state: StateStore, directory: DataDirectory, store: SqlStore
    ) -> None:
        """Use `open`."""
        self._directory = directory
        self._store = store
        self._blobs = FileBlobs.in_directory(directory.blobs)
        self._completion = Completion()
        settlement = Settlement(state, state_address=settings.etcd_address)
        deployments = Deployments(store=store, settlement=settlement, completion=self._completion)
        rollouts = Rollouts(store=store, settlement=settlement, deployments=deployments, completion=self._completion)
        self._driver = RolloutDriver(
            rollouts, state, interval_s=settings.rollout_interval_s, judge_interval_s=settings.judge_interval_s
        )
        self.publisher = Publisher(store=store, state=state, interval_s=settings.republish_interval_s)
        pushes = Pushes(
            store=store,
            blobs=self._blobs,
            directory=directory,
            inspection=Inspection(
                settings.package_limits, settings.inspection_limits, triton_backend=settings.triton_backend
            ),
            completion=self._completion,
            limits=PushLimits(settings.package_limits, settings.max_concurrent_pushes),
        )
        self.servicer = RegistryServicer(
            catalogue=Catalogue(store, self._blobs),
            pushes=pushes,
            storage_check=StorageCheck(store, self._blobs, lambda: pushes.pinned),
            deployments=deployments,
            rollouts=rollouts,
        )

    @classmethod
    async def open(cls, settings: RegistrySettings, state: StateStore) -> Registry:
        """Open the data directory and throw away what a killed process left unfinished.

        Raises FailedPrecondition when another registry uses it, or a later release wrote it.
        """
        directory = DataDirectory(settings.data_dir)
        directory.open()
        try:
            store = await open_sqlite(directory.database)
        except BaseException:
            directory.close()
            raise
        registry = cls(settings, state, directory, store)
        try:
            async with store.reading() as reading:
                await registry._blobs.keep_only(await reading.all_files())
        except BaseException:
            await registry.close()
            raise
        registry.publisher.start()
        registry._driver.start()
        return registry

    async def close(self) -> None:
        """Finish what has begun, then close the database and unlock the directory."""
        await self._driver.close()
        await self.publisher.close()
        await self._completion.close()
        await self._store.close()
        self._directory.close()
