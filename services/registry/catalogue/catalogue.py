"""Answers questions about models, versions and files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.mesh.machine import is_this_machine
from lepton_ai.references import check_name
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue.record import VersionState
from services.registry.database.store import Reading, Store, VariantRecord, VersionRecord
from services.registry.messages import read_deployment, summary_message, version_message
from services.registry.storage.blobs import Blobs
from services.registry.storage.kept_uploads import KeptUploads
from services.registry.storage.pins import Pins

_SHA256_LENGTH = 64
_MAX_HASHES = 100_000
_MAX_PAGE = 1000
_ALL = 1_000_000


class Catalogue:
    """The reading half of the registry."""

    def __init__(self, store: Store, blobs: Blobs, kept: KeptUploads, pins: Pins) -> None:
        self._store = store
        self._blobs = blobs
        self._kept = kept
        self._pins = pins

    async def find_missing(self, sha256: Sequence[str]) -> registry_pb2.FindMissingFilesResponse:
        """Those of the hashes that no version holds, or whose content is not there whole, each once; and what is kept
        of them from uploads that broke off.

        Raises InvalidInput for too many.
        """
        if len(sha256) > _MAX_HASHES:
            raise InvalidInput.of_field("sha256", f"{len(sha256)} hashes; at most {_MAX_HASHES}")
        wanted = dict.fromkeys(sha256)
        async with self._store.reading() as reading:
            known = await reading.known_files(wanted)
        present = known - await self._blobs.find_unsound(known)
        missing = [hash_ for hash_ in wanted if hash_ not in present]
        response = registry_pb2.FindMissingFilesResponse(sha256=missing)
        for hash_, size_bytes in (await asyncio.to_thread(self._kept.sizes, missing)).items():
            response.kept.add(sha256=hash_, size_bytes=size_bytes)
        return response

    async def get_version(self, ref: common_pb2.ModelRef) -> registry_pb2.ModelVersion:
        """One version; without a selector the newest. Raises NotFound."""
        async with self._store.reading() as reading:
            record = await resolve(reading, ref)
            return version_message(record, await reading.aliases(record.model))

    async def list_models(self, request: registry_pb2.ListModelsRequest) -> registry_pb2.ListModelsResponse:
        """A page of all models, or only the named one. Raises NotFound, InvalidInput for a page that cannot be."""
        if request.page_size > _MAX_PAGE:
            raise InvalidInput.of_field("page_size", f"is {request.page_size}; at most {_MAX_PAGE}")
        limit, response = request.page_size or _ALL, registry_pb2.ListModelsResponse()
        async with self._store.reading() as reading:
            if request.name:
                names: Sequence[str] = [check_name(request.name)]
            else:
                after = check_name(request.page_token, field="page_token") if request.page_token else ""
                names = await reading.page_of_models(after=after, limit=limit + 1)
            if len(names) > limit:
                names = names[:limit]
                response.next_page_token = names[-1]
            if request.summary:
                response.models.extend(await self._summaries(reading, names))
            else:
                response.models.extend([await self._model(reading, name) for name in names])
        return response

    async def get_summary(self, name: str) -> registry_pb2.Model:
        """One model with all its versions, without their files. Raises NotFound."""
        async with self._store.reading() as reading:
            (model,) = await self._summaries(reading, [check_name(name)])
            return model

    async def locate_file(self, sha256: str, machine: str) -> registry_pb2.FilePlace:
        """Where a file lies, for a caller on this machine; nothing for others, and for files in object stores.

        Raises NotFound when no version holds it.
        """
        async with self._store.reading() as reading:
            if not await reading.known_files([sha256]):
                raise _unknown_file()
        if not is_this_machine(machine):
            return registry_pb2.FilePlace()
        return await self._blobs.place(sha256) or registry_pb2.FilePlace()

    async def read_file(self, sha256: str) -> AsyncGenerator[bytes]:
        """A file's content in chunks. Raises NotFound when no version holds it."""
        if len(sha256) != _SHA256_LENGTH:
            raise _unknown_file()
        async with self._pins.holding([sha256]):
            async with self._store.reading() as reading:
                if not await reading.known_files([sha256]):
                    raise _unknown_file()
            async with aclosing(self._blobs.read(sha256)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _model(self, reading: Reading, name: str) -> registry_pb2.Model:
        versions = await reading.versions(name)
        if not versions:
            raise _unknown_model(name)
        aliases = await reading.aliases(name)
        return registry_pb2.Model(
            name=name,
            versions=[version_message(version, aliases) for version in versions],
            aliases=aliases,
            deployment=await read_deployment(reading, name),
        )

    async def _summaries(self, reading: Reading, names: Sequence[str]) -> list[registry_pb2.Model]:
        found, aliases = await reading.summaries(names), await reading.aliases_of(names)
        deployed = frozenset(await reading.deployed_models())
        models = []
        for name in names:
            if name not in found:
                raise _unknown_model(name)
            own = aliases.get(name, {})
            versions = [summary_message(each, own) for each in found[name]]
            model = registry_pb2.Model(name=name, versions=versions, aliases=own)
            if name in deployed and (deployment := await read_deployment(reading, name)) is not None:
                for version in deployment.versions:
                    for listing in (version, *version.variants):
                        listing.ClearField("manifest")
                model.deployment.CopyFrom(deployment)
            models.append(model)
        return models


async def resolve(reading: Reading, ref: common_pb2.ModelRef) -> VersionRecord:
    """The version that a reference means: by number, by alias, or the newest. Raises InvalidInput, NotFound."""
    model = check_name(ref.name, field="model.name")
    highest = await reading.newest_number(model)
    if not highest:
        raise _unknown_model(model)
    match ref.WhichOneof("selector"):
        case "version":
            number = ref.version
            if not number:
                raise InvalidInput.of_field("model.version", "must be 1 or more")
        case "alias":
            aliases = await reading.aliases(model)
            number = aliases.get(check_name(ref.alias, field="model.alias"), 0)
            if not number:
                raise NotFound(
                    f"The model {model} has no alias {ref.alias}.", reason="ALIAS_NOT_FOUND", fix=_see(model)
                )
        case _:
            newest = await reading.version(model, 0)
            if newest is None:
                fix = f"Restore one, or push. {_see(model)}"
                raise NotFound(f"No version of {model} is ready.", reason="NO_READY_VERSION", fix=fix)
            return newest
    # Numbers above the highest never reach the database, whose integers are smaller than ours.
    record = await reading.version(model, number) if number <= highest else None
    if record is None:
        raise NotFound(
            f"The model {model} has no version {number}; its newest is {highest}.",
            reason="VERSION_NOT_FOUND",
            fix=_see(model),
        )
    return record


async def resolve_ready(reading: Reading, ref: common_pb2.ModelRef) -> VersionRecord:
    """The version that a reference means, if it may be served. Raises as `resolve`, and FailedPrecondition."""
    version = await resolve(reading, ref)
    check_ready(version)
    return version


def find_variant(version: VersionRecord, name: str) -> VariantRecord:
    """A variant of a version. Raises NotFound."""
    found = next((variant for variant in version.variants if variant.name == name), None)
    if found is None:
        raise NotFound(
            f"{version.model}@{version.version} has no variant {name[:64]!r}.",
            reason="VARIANT_NOT_FOUND",
            fix=f"See `lepton models {version.model}@{version.version}` for those that it has.",
        )
    return found


def check_ready(version: VersionRecord) -> None:
    """Raises FailedPrecondition for a version that may not be served."""
    if version.state is not VersionState.READY:
        name = f"{version.model}@{version.version}"
        fix = f"Restore it first: lepton restore {name}" if version.state is VersionState.ARCHIVED else "Push it again."
        raise FailedPrecondition(f"{name} is {version.state.value}.", reason="VERSION_NOT_READY", fix=fix)


def _see(model: str) -> str:
    return f"See `lepton models {model}` for its versions and aliases."


def _unknown_file() -> NotFound:
    return NotFound("No version holds a file with this hash.", reason="FILE_NOT_FOUND")


def _unknown_model(name: str) -> NotFound:
    return NotFound(
        f"There is no model {name}.",
        reason="MODEL_NOT_FOUND",
        fix="Push it, or see `lepton models` for those there are.",
    )
