"""Makes this replica serve what is deployed: starts and stops versions, moves routes, publishes what it serves."""

from __future__ import annotations

import asyncio
import logging
from types import MappingProxyType

from lepton_ai.mesh.discovery.records import encode_serving_state, serving_key
from lepton_ai.mesh.discovery.state import Publication, StateStore
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from lepton_ai.v1 import health_pb2, registry_pb2
from services.inference.lifecycle.deployments import Deployments, DeploymentView, Memory, MemoryFile
from services.inference.lifecycle.variants import Variants
from services.inference.lifecycle.version_life import FAILED, SERVING, LifeParts, VersionLife
from services.inference.routing.rollout import Aliases, effective_aliases, routed_versions, wanted_aliases
from services.inference.routing.routes import ModelRoutes, Routes
from services.inference.triton.backend import READY
from services.inference.triton.repository import parse_triton_name
from services.inference.version import LoadedVersion, VersionKey

_NOTHING: Aliases = MappingProxyType({})
_LONGEST_DISK_PAUSE_S = 10.0
_BUSY_PAUSE_S = 0.5
"""After which it is tried again to unload what another worker was using."""
_BUSY_VARIANT_PAUSE_S = 30.0
"""The same for a variant, which another worker may need for long: each loads what its own calls ask for."""
_log = logging.getLogger(__name__)


class Reconciler:
    """One for each process. Fails static: versions go on serving until somebody says otherwise.

    Workers of a replica have one each, on the same Triton and the same files, and need no leader: see `Loader`.
    """

    def __init__(
        self,
        state: StateStore,
        routes: Routes,
        *,
        view: DeploymentView,
        parts: LifeParts,
        variants: Variants,
        memory: MemoryFile,
        changed: asyncio.Event,
    ) -> None:
        """Use `services.inference.lifecycle.control.make_reconciler`. `changed` is what the view and the parts set."""
        self._state = state
        self._view = view
        self._routes = routes
        self._parts = parts
        self._memory = memory
        self._replica = ""
        self._variants = variants
        variants.on_change(changed.set)
        self._lives: dict[VersionKey, VersionLife] = {}
        self._aliases: dict[str, Aliases] = {}
        """Model → where its calls go now."""
        self._held: dict[VersionKey, registry_pb2.DeployedVersion] = {}
        """Versions that were served when this replica last ran, in case they are still needed."""
        self._changed = changed
        self._publication: Publication | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._unkept = asyncio.Event()
        """Set after every change, to have `_keep` bring the disk up to date."""
        self._tidying = False
        self._tidied_for: set[VersionKey] | None = None
        self._removals: dict[str, asyncio.Task[None]] = {}

    async def start(self, replica: str) -> None:
        """Begin to serve what is deployed; `replica` is the address under which this replica is known."""
        self._replica = replica
        remembered = await asyncio.to_thread(self._memory.read)
        if remembered is not None:
            self._recall(remembered)
        await asyncio.to_thread(self._parts.loader.sweep)
        await self._parts.watch.start()
        await self._view.start(None if remembered is None else remembered.wanted)
        self._reconcile()
        self._publication = await self._state.publish(serving_key(replica), self._published())
        self._changed.set()
        self._tasks = [run_loop(self._run, name="reconcile"), run_loop(self._keep, name="keep what is served")]

    async def close(self) -> None:
        """Stop. Models stay loaded in Triton, so that a restarted service has them at once."""
        tasks = [*self._tasks, *self._removals.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._view.close()
        await self._parts.watch.close()
        await asyncio.gather(*(life.abandon() for life in self._lives.values()))
        if self._publication is not None:
            await self._publication.withdraw()

    def serving_state(self) -> health_pb2.ServingState:
        """What this replica really serves; it publishes the same in etcd."""
        lives = [life for _, life in sorted(self._lives.items())]
        return health_pb2.ServingState(
            replica=self._replica,
            versions=[self._status(life) for life in lives if not life.variant],
            triton_ready=self._parts.watch.ready,
            variants=[
                *(_variant_status(life) for life in lives if life.variant),
                *self._variants.refused(self._view.deployments or {}),
            ],
            triton_restarts=self._parts.watch.restarts,
            triton_address=self._parts.watch.address,
        )

    @property
    def settled(self) -> bool:
        """Whether it is known what to serve, and each of those versions either gets its calls or has failed."""
        wanted = self._view.deployments
        if wanted is None or self._changed.is_set():  # a version that came up just now is not in the routes yet
            return False
        return all(
            (life := self._lives.get(VersionKey(model, version.version))) is not None
            and life.state in (SERVING, FAILED)
            for model, deployment in wanted.items()
            for version in deployment.versions
        )

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                self._reconcile()
                if self._publication is not None:
                    await self._publication.update(self._published())
            except Exception:  # noqa: BLE001 - a fault of ours must not end the loop: the next change gets its chance
                _log.exception("Reconciling failed")
            self._unkept.set()

    async def _keep(self) -> None:
        """Work on the disk, apart from `_run`: a slow, full or hanging disk must not delay changes of routes."""
        attempt = 0
        while True:
            await self._unkept.wait()
            self._unkept.clear()
            if self._view.deployments is None:
                continue
            try:
                await asyncio.to_thread(self._memory.write, self._to_remember())
                attempt = 0
                await self._tidy()
            except OSError as error:
                attempt += 1
                _log.warning("What is served cannot be remembered: %s. It is tried again", error.strerror)
                self._unkept.set()
                await asyncio.sleep(backoff_s(attempt, base_s=1.0, max_s=_LONGEST_DISK_PAUSE_S))
            except Exception:  # noqa: BLE001 - as above
                _log.exception("Keeping what is served failed")

    def _reconcile(self) -> None:
        wanted = self._view.deployments
        if wanted is None:
            return
        self._start_wanted(wanted)
        self._move_routes(wanted)
        self._stop_unneeded(wanted)
        for life in self._lives.values():
            life.wake()
        self._remove_strangers()

    def _start_wanted(self, wanted: Deployments) -> None:
        for model, deployment in wanted.items():
            for deployed in deployment.versions:
                self._ensure(VersionKey(model, deployed.version), deployed)
        for key, deployed in self._held.items():
            if key.model in wanted:
                self._ensure(key, deployed)
        self._held.clear()
        for key, deployed in self._variants.wanted(wanted).items():
            self._ensure(key, deployed)

    def _ensure(self, key: VersionKey, deployed: registry_pb2.DeployedVersion) -> None:
        life = self._lives.get(key)
        is_being_removed = any(parse_triton_name(name) == key for name in self._removals)
        if life is None and (is_being_removed or self._tidying):
            return  # the end of either starts another round
        if life is None:
            life = self._lives[key] = VersionLife(key, deployed, self._parts)
            life.start()
        elif life.deployed.digest != deployed.digest:
            life.stop(self._ended)  # the registry started over: same number, another package

    def _move_routes(self, wanted: Deployments) -> None:
        models = {}
        for model, deployment in wanted.items():
            serving = self._serving(model)
            current = self._aliases.get(model, _NOTHING)
            aliases = effective_aliases(wanted_aliases(deployment), current, serving)
            if aliases != current:
                _log.info("Calls of %s go to %s", model, aliases)
            self._aliases[model] = aliases
            needed = routed_versions(aliases) | {version.version for version in deployment.versions}
            trying = self._variants.candidates(deployment, self._lives)
            models[model] = ModelRoutes(
                name=model,
                serving={version: loaded for version, loaded in serving.items() if version in needed},
                aliases=aliases,
                waiting={version: self._why(model, version) for version in needed - serving.keys()},
                candidates=trying,
                offers=self._variants.offers(deployment, self._lives, is_trying=bool(trying)),
            )
        self._aliases = {model: self._aliases[model] for model in wanted}
        self._routes.replace(models)

    def _stop_unneeded(self, wanted: Deployments) -> None:
        variants = self._variants.wanted(wanted)
        for key, life in list(self._lives.items()):
            model, version, variant = key
            if variant:
                if key not in variants:
                    life.stop(self._ended)
                continue
            deployment = wanted.get(model)
            is_wanted = deployment is not None and any(each.version == version for each in deployment.versions)
            if not is_wanted and version not in routed_versions(self._aliases.get(model, _NOTHING)):
                life.stop(self._ended)

    def _ended(self, life: VersionLife) -> None:
        self._lives.pop(life.key, None)
        self._changed.set()

    def _remove_strangers(self) -> None:
        """Unload what Triton has and nobody here wants: an earlier run of this replica left it, or an earlier load."""
        for name, state in self._parts.watch.states.items():
            parsed = parse_triton_name(name)
            if state == READY and parsed and name not in self._removals and not self._may_need(name, parsed):
                self._removals[name] = asyncio.create_task(self._remove_stranger(name))

    def _may_need(self, name: str, parsed: VersionKey) -> bool:
        """Whether the version is served under this name, or does not serve yet: it may adopt what is there."""
        life = self._lives.get(parsed)
        if life is None or life.loaded is None:
            return life is not None
        return life.state != SERVING or life.loaded.triton_name == name

    async def _tidy(self) -> None:
        """Remove files that no version here uses. Meanwhile no version starts, so none writes files."""
        if self._changed.is_set() or self._tidied_for == self._lives.keys():
            return  # in the first case the next round comes back here
        self._tidied_for = set(self._lives)
        self._tidying = True
        try:
            await self._parts.loader.tidy(self._lives, {life.deployed.digest for life in self._lives.values()})
        finally:
            self._tidying = False
            self._changed.set()

    async def _remove_stranger(self, name: str) -> None:
        try:
            if await self._parts.loader.remove(name):
                why = "its version was loaded anew" if parse_triton_name(name) in self._lives else "nobody wants it"
                _log.info("%s was unloaded, as %s", name, why)
            else:
                parsed = parse_triton_name(name)
                is_variant = parsed is not None and parsed.variant
                await asyncio.sleep(_BUSY_VARIANT_PAUSE_S if is_variant else _BUSY_PAUSE_S)
            await self._parts.watch.refresh()
        finally:
            del self._removals[name]
            self._changed.set()

    def _serving(self, model: str) -> dict[int, LoadedVersion]:
        return {
            version: life.loaded
            for (name, version, variant), life in self._lives.items()
            if name == model and not variant and life.state == SERVING and life.loaded is not None and not life.ending
        }

    def _why(self, model: str, version: int) -> str:
        life = self._lives.get(VersionKey(model, version))
        return life.message if life is not None and life.message else "is being loaded"

    def _status(self, life: VersionLife) -> health_pb2.VersionStatus:
        aliases = [
            alias
            for alias, targets in sorted(self._aliases.get(life.model, _NOTHING).items())
            if life.state == SERVING and any(target.version == life.version for target in targets)
        ]
        return health_pb2.VersionStatus(
            model=life.model, version=life.version, state=life.state, message=life.message, aliases=aliases
        )

    def _published(self) -> bytes:
        return encode_serving_state(self.serving_state())

    def _recall(self, memory: Memory) -> None:
        for model, deployment in memory.effective.items():
            self._aliases[model] = wanted_aliases(deployment)
            for deployed in deployment.versions:
                self._held[VersionKey(model, deployed.version)] = deployed

    def _to_remember(self) -> Memory:
        effective = {model: self._effective_deployment(model) for model in self._aliases}
        return Memory(wanted=self._view.deployments or {}, effective=effective)

    def _effective_deployment(self, model: str) -> registry_pb2.Deployment:
        deployment = registry_pb2.Deployment(model=model)
        for version in sorted(routed_versions(self._aliases[model])):
            key = VersionKey(model, version)
            if key in self._lives:
                deployment.versions.append(self._lives[key].deployed)
        for alias, targets in sorted(self._aliases[model].items()):
            weighted = [registry_pb2.WeightedVersion(version=each.version, weight=each.weight) for each in targets]
            deployment.routes.append(registry_pb2.Route(alias=alias, targets=weighted))
        return deployment


def _variant_status(life: VersionLife) -> health_pb2.VariantStatus:
    return health_pb2.VariantStatus(
        model=life.model, version=life.version, variant=life.variant, state=life.state, message=life.message
    )
