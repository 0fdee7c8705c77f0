"""Answers questions about models, versions and files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.references import check_name
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.messages import read_deployment, version_message
from services.registry.storage.blobs import Blobs
from services.registry.store import Reading, Store, VersionRecord

_SHA256_LENGTH = 64
_MAX_HASHES = 100_000


class Catalogue:
    """The reading half of the registry."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    async def find_missing(self, sha256: Sequence[str]) -> list[str]:
        """Those of the hashes that no version holds, or whose content is not there whole, each once.

        Raises InvalidInput for too many.
        """
        if len(sha256) > _MAX_HASHES:
            raise InvalidInput.of_field("sha256", f"{len(sha256)} hashes; at most {_MAX_HASHES}")
        wanted = dict.fromkeys(sha256)
        async with self._store.reading() as reading:
            known = await reading.known_files(wanted)
        present = known - await self._blobs.find_unsound(known)
        return [hash_ for hash_ in wanted if hash_ not in present]

    async def get_version(self, ref: common_pb2.ModelRef) -> registry_pb2.ModelVersion:
        """One version; without a selector the newest. Raises NotFound."""
        async with self._store.reading() as reading:
            record = await resolve(reading, ref)
            return version_message(record, await reading.aliases(record.model))

    async def list_models(self, name: str) -> list[registry_pb2.Model]:
        """All models, or only the named one. Raises NotFound."""
        async with self._store.reading() as reading:
            names = [check_name(name)] if name else await reading.models()
            return [await self._model(reading, name) for name in names]

    async def get_model(self, name: str) -> registry_pb2.Model:
        """One model with all its versions. Raises NotFound."""
        (model,) = await self.list_models(name)
        return model

    async def read_file(self, sha256: str) -> AsyncIterator[bytes]:
        """A file's content in chunks. Raises NotFound when no version holds it."""
        async with self._store.reading() as reading:
            known = len(sha256) == _SHA256_LENGTH and await reading.known_files([sha256])
        if not known:
            raise NotFound("No version holds a file with this hash.", reason="FILE_NOT_FOUND")
        async for chunk in self._blobs.read(sha256):
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


async def resolve(reading: Reading, ref: common_pb2.ModelRef) -> VersionRecord:
    """The version that a reference means: by number, by alias, or the newest. Raises InvalidInput, NotFound."""
    model = check_name(ref.name, field="model.name")
    newest = await reading.version(model, 0)
    if newest is None:
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
            return newest
    # Numbers above the newest never reach the database, whose integers are smaller than ours.
    record = await reading.version(model, number) if number <= newest.version else None
    if record is None:
        raise NotFound(
            f"The model {model} has no version {number}; its newest is {newest.version}.",
            reason="VERSION_NOT_FOUND",
            fix=_see(model),
        )
    return record


def _see(model: str) -> str:
    return f"See `lepton models {model}` for its versions and aliases."


def _unknown_model(name: str) -> NotFound:
    return NotFound(
        f"There is no model {name}.",
        reason="MODEL_NOT_FOUND",
        fix="Push it, or see `lepton models` for those there are.",
    )
