"""Keeps etcd equal to the database: fills a wiped etcd, and repairs what a crash between the two writes left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.discovery.records import Records, decode_deployment, deployment_key, encode_deployment, published
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, StateStore
from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import registry_pb2
from services.registry.database.store import AuditEntry, Reading, Store, Writing
from services.registry.messages import read_deployment

_LOG = logging.getLogger(__name__)
_ACTOR = "registry"
_AFTER_FAILURE_S = 1.0


class Publisher:
    """Compares at start and every `interval_s`; repairs under the same lock that deployments take."""

    def __init__(self, *, store: Store, state: StateStore, interval_s: float) -> None:
        self._store = store
        self._state = state
        self._interval_s = interval_s
        self._records = Records(decode_deployment)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin comparing."""
        self._task = run_loop(self._keep_publishing, name="publish deployments")

    async def close(self) -> None:
        """Stop comparing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def reconcile(self) -> int:
        """Make etcd equal to the database; returns how many models had to be repaired. Raises Unavailable."""
        async with self._store.reading() as reading:
            if not await self._differences(reading):
                return 0
        # Compared again where nobody can deploy in between.
        async with self._store.writing() as writing:
            differences = await self._differences(writing)
            if differences and not await writing.models():
                _LOG.error("etcd holds deployments but this registry is empty; is LEPTON_DATA_DIR right? Left alone.")
                return 0
            for model, found in differences.items():
                await self._repair(writing, model, found)
        return len(differences)

    async def _differences(self, reading: Reading) -> Mapping[str, registry_pb2.Deployment | None]:
        """Models that differ, with what etcd holds of them (None: nothing, or nothing that can be read)."""
        entries = await self._state.list(DEPLOYMENTS)
        readable = self._records.read(entries)
        found = {key.removeprefix(DEPLOYMENTS): readable.get(key) for key in entries}
        wanted = {model: await read_deployment(reading, model) for model in await reading.deployed_models()}
        return {
            model: found.get(model)
            for model in sorted(found.keys() | wanted.keys())
            if (deployment := wanted.get(model)) is None or found.get(model) != published(deployment)
        }

    async def _repair(self, writing: Writing, model: str, found: registry_pb2.Deployment | None) -> None:
        wanted = await read_deployment(writing, model)
        if wanted is None:
            _LOG.warning("deleting a deployment from etcd that is not in the database", extra={"model": model})
            await self._state.delete(deployment_key(model))
            return
        if found is not None and found.generation >= wanted.generation:
            # Replicas may have seen the other document under this number, so the right one gets a higher one.
            wanted.generation = found.generation + 1
            await writing.set_generation(model, wanted.generation)
            after = {"generation": wanted.generation}
            await writing.record(AuditEntry(_ACTOR, "republish", model, before=None, after=after))
        _LOG.warning("publishing a deployment to etcd again", extra={"model": model})
        await self._state.put(deployment_key(model), encode_deployment(wanted))

    async def _keep_publishing(self) -> None:
        while True:
            pause_s = self._interval_s
            try:
                await self.reconcile()
            except LeptonError as error:
                _LOG.warning("cannot compare etcd with the database: %s", error)
                pause_s = min(_AFTER_FAILURE_S, pause_s)
            await asyncio.sleep(pause_s)
