"""The registry's parts, put together: opened, served and closed as one."""

from __future__ import annotations

from lepton_ai.mesh.discovery.state import StateStore
from services.registry.blobs import FileBlobs
from services.registry.catalogue import Catalogue
from services.registry.completion import Completion
from services.registry.data_directory import DataDirectory
from services.registry.deployments import Deployments
from services.registry.inspection.inspection import Inspection
from services.registry.publisher import Publisher
from services.registry.pushes import Pushes, PushLimits
from services.registry.servicer import RegistryServicer
from services.registry.settings import RegistrySettings
from services.registry.sql_store import SqlStore, open_sqlite


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
        self.publisher = Publisher(store=store, state=state, interval_s=settings.republish_interval_s)
        self.servicer = RegistryServicer(
            catalogue=Catalogue(store, self._blobs),
            pushes=Pushes(
                store=store,
                blobs=self._blobs,
                directory=directory,
                inspection=Inspection(
                    settings.package_limits, settings.inspection_limits, triton_backend=settings.triton_backend
                ),
                completion=self._completion,
                limits=PushLimits(settings.package_limits, settings.max_concurrent_pushes),
            ),
            deployments=Deployments(
                store=store, state=state, state_address=settings.etcd_address, completion=self._completion
            ),
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
        return registry

    async def close(self) -> None:
        """Finish what has begun, then close the database and unlock the directory."""
        await self.publisher.close()
        await self._completion.close()
        await self._store.close()
        self._directory.close()
