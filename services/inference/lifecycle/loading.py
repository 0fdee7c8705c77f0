"""From a deployed version to a model in Triton: fetch the package, read it, write Triton's files, load."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from lepton_ai.errors import DataLoss, LeptonError
from lepton_ai.package import Package
from lepton_ai.package.golden import GoldenItem
from lepton_ai.pipeline.pipeline import Pipeline
from lepton_ai.pipeline.values import Limits
from lepton_ai.postprocessing import Postprocess
from lepton_ai.v1 import registry_pb2
from services.inference.lifecycle.packages import PackageCache
from services.inference.lifecycle.signatures import Signatures
from services.inference.locks import Lock, Locks
from services.inference.triton.backend import LOAD_TIMEOUT_S, READY, UNAVAILABLE, InferenceBackend
from services.inference.triton.repository import ModelRepository, TritonModel, parse_triton_name, triton_name
from services.inference.version import LoadedVersion, VersionKey

_TURN_TIMEOUT_S = 2 * LOAD_TIMEOUT_S
"""Another worker may be in the middle of an attempt that takes as long as one may."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A version that is on this machine and may be loaded."""

    loaded: LoadedVersion
    model: TritonModel
    golden: Sequence[GoldenItem]


@dataclass(frozen=True)
class LoadOptions:
    """How models are run where their packages do not say."""

    instances: int
    """Copies that run side by side."""
    fuses: bool = True
    """Whether pipelines may run beside their models."""
    limits: Limits = field(default_factory=Limits)
    """What such a pipeline allows an item."""
    wide_model_bytes: int = 0
    """Models up to this size get a second copy that runs on all cores."""
    wide_threads: int = 1
    """How many cores that are."""


class Loader:
    """Puts versions into Triton and takes them out.

    All workers of a replica do so in the same Triton. What one has loaded the others adopt; as long as one of them uses
    it, none unloads it.
    """

    def __init__(
        self,
        packages: PackageCache,
        repository: ModelRepository,
        triton: InferenceBackend,
        *,
        signatures: Signatures,
        locks: Locks,
        options: LoadOptions,
    ) -> None:
        """`locks` are those of all workers."""
        self._signatures = signatures
        self._locks = locks
        self._packages = packages
        self._repository = repository
        self._triton = triton
        self._options = options

    async def prepare(self, key: VersionKey, deployed: registry_pb2.DeployedVersion) -> Prepared:
        """Fetch and read the package of a version or variant, and verify its signature.

        Raises what fetching raises, InvalidInput for a bad package, FailedPrecondition for one that is not signed as
        this replica asks.
        """
        package = await self._packages.fetch(deployed)
        await self._signatures.check(key, package.manifest())
        return await asyncio.to_thread(self._read, key, deployed, package)

    def turn(self, prepared: Prepared) -> AbstractAsyncContextManager[None]:
        """The time in which no other worker loads this version. Raises Unavailable when it does not come."""
        name = triton_name(prepared.model.model, prepared.model.version, variant=prepared.model.variant)
        return self._locks.exclusive(f"{name}.load", timeout_s=_TURN_TIMEOUT_S)

    async def find(self, prepared: Prepared, states: Mapping[str, str], *, but: Collection[str] = ()) -> bool:
        """Adopt what Triton has loaded of exactly this model, by its `states`; tells whether there is anything.

        `but` are names of which it is known that they do not work.
        """
        for load in range(1, len(states) + 2):
            model = replace(prepared.model, load=load)
            is_ready = states.get(model.triton_name) == READY and model.triton_name not in but
            if is_ready and await asyncio.to_thread(self._repository.holds, model):
                return await self._adopt(prepared.loaded, model.triton_name)
        return False

    async def _adopt(self, loaded: LoadedVersion, name: str) -> bool:
        """Use what is loaded under a name, unless another worker unloads it."""
        if loaded.leased and loaded.triton_name == name:
            return True
        lease = self._locks.try_shared(name)
        if lease is None:
            return False
        try:
            # From here on nobody unloads it, but it may have been unloaded since Triton was asked.
            is_ready = (await self._triton.index()).get(name) == READY
        except BaseException:
            lease.release()
            raise
        if is_ready:
            loaded.use(name, lease)
        else:
            lease.release()
        return is_ready

    async def load(self, prepared: Prepared, states: Mapping[str, str], *, afresh: bool) -> None:
        """Load a model under a name that Triton has nothing of, by its `states`; `afresh`: after ending what it has.

        What is loaded under an earlier name is for the reconciler to remove. Raises what Triton says, OSError, DataLoss
        when the files that Triton would load are not those of the package.
        """
        own = prepared.model.key
        if afresh:
            prepared.loaded.let_go()
            for name in [name for name, state in states.items() if state == READY and parse_triton_name(name) == own]:
                await self._unload_unused(name)
        model, lease = self._under_free_name(prepared.model, states)
        try:
            await asyncio.to_thread(self._write, model)
            await self._triton.load(model.triton_name)
        except BaseException:
            lease.release()
            raise
        prepared.loaded.use(model.triton_name, lease)

    async def _unload_unused(self, name: str) -> None:
        lock = self._locks.try_exclusive(name)
        if lock is not None:
            with lock:
                await self._triton.unload(name)

    def _under_free_name(self, model: TritonModel, states: Mapping[str, str]) -> tuple[TritonModel, Lock]:
        """Triton says UNAVAILABLE of a name when nothing is left of what was loaded under it."""
        for load in itertools.count(1):
            named = replace(model, load=load)
            is_free = states.get(named.triton_name, UNAVAILABLE) == UNAVAILABLE
            if is_free and (lease := self._locks.try_shared(named.triton_name)) is not None:
                return named, lease
        raise AssertionError  # the count has no end

    async def remove(self, name: str) -> bool:
        """Unload a model and remove its files; False, with nothing done, while another worker uses it.

        Never raises: the reconciler removes later what is left.
        """
        try:
            lock = self._locks.try_exclusive(name)
            if lock is None:
                return False
            with lock:
                await self._unload(name)
                await asyncio.to_thread(self._repository.remove, name)
        except OSError as error:
            _log.warning("The files of %s were not removed: %s", name, type(error).__name__)
        return True

    async def _unload(self, name: str) -> None:
        try:
            await self._triton.unload(name)
        except LeptonError as error:
            _log.info("%s was not unloaded: %s", name, error.reason)

    def sweep(self) -> None:
        """Remove what a crash left half-written in Triton's directory. Only at start. Blocks on the disk."""
        self._repository.sweep()

    async def tidy(self, versions: Collection[VersionKey], digests: Collection[str]) -> None:
        """Remove the files of all other versions, and packages that were not used for a long time. Never raises."""
        try:
            await asyncio.to_thread(self._tidy, frozenset(versions), digests)
            await asyncio.to_thread(self._signatures.prune, versions)
        except OSError as error:
            _log.warning("Old files were not removed: %s", type(error).__name__)

    def _tidy(self, versions: Collection[VersionKey], digests: Collection[str]) -> None:
        for name in self._repository.names():
            lock = None if parse_triton_name(name) in versions else self._locks.try_exclusive(name)
            if lock is not None:
                with lock:
                    self._repository.remove(name)
        self._packages.prune(digests)

    def _write(self, model: TritonModel) -> None:
        """Put the files where Triton reads them, and hash them there: these bytes are loaded, and no copy of them."""
        if not (self._repository.holds(model) and self._repository.is_whole(model)):
            self._repository.add(model)
            if not self._repository.is_whole(model):
                raise DataLoss(
                    f"The files of {model.model} version {model.version} changed on this disk after they were checked.",
                    reason="PACKAGE_DAMAGED",
                    fix="They are fetched again. If it comes back: find out who writes into the replica's folders.",
                )

    def _read(self, key: VersionKey, deployed: registry_pb2.DeployedVersion, package: Package) -> Prepared:
        description, options = package.description, self._options
        pipeline, postprocess = package.pipeline_document(), package.postprocess_document()
        pipeline_proto = None if pipeline is None else Pipeline.load(pipeline, package.pipeline_files()).to_proto()
        triton_model = TritonModel(
            model=key.model,
            version=key.version,
            variant=key.variant,
            file=package.path(description.model.file),
            format=description.model.format,
            inputs=description.inputs,
            outputs=description.outputs,
            instances=description.instances or options.instances,
            unbatched=description.unbatched_outputs,
            weights=[package.path(name) for name in description.model.weights],
            sha256=_hashes(package),
            digest=deployed.digest,
            pipeline=pipeline_proto if options.fuses else None,
            limits=options.limits,
            wide_threads=options.wide_threads if _weighs(package) <= options.wide_model_bytes else 1,
        )
        loaded = LoadedVersion(
            model=key.model,
            version=key.version,
            variant=key.variant,
            triton_name=triton_model.triton_name,
            description=description,
            max_batch_size=description.max_batch_size,
            instances=triton_model.instances,
            unbatched=description.unbatched_outputs,
            wide_threads=triton_model.wide_threads if self._repository.has_runner(triton_model) else 1,
            runs_items=self._repository.runs_items(triton_model),
            pipeline_proto=pipeline_proto,
            postprocess=None if postprocess is None else Postprocess.load(postprocess, package.postprocess_files()),
            digest=deployed.digest,
            caching=description.cache,
            feedback=description.feedback,
            input_kinds=description.input_kinds,
            profile=package.input_profile(),
        )
        return Prepared(loaded, triton_model, package.golden_items())


def _hashes(package: Package) -> dict[str, str]:
    """File name → SHA-256 of the model's files, which lie in one directory."""
    model = package.description.model
    return {PurePosixPath(path).name: package.files[path].sha256 for path in (model.file, *model.weights)}


def _weighs(package: Package) -> int:
    """Bytes of the model's files."""
    model = package.description.model
    return sum(package.path(name).stat().st_size for name in (model.file, *model.weights))
