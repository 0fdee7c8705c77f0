"""Turns an upload into an immutable version: receive, check, store, record; or leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from lepton_ai.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    LeptonError,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.mesh.serving.memory.malloc import give_back_freed_memory
from lepton_ai.package import PackageLimits, check_manifest, manifest_digest
from lepton_ai.v1 import registry_pb2
from services.registry.catalogue.record import NewPush, VersionState
from services.registry.completion import Completion
from services.registry.database.store import (
    AuditEntry,
    NewVariant,
    NewVersion,
    Store,
    VersionRecord,
    Writing,
)
from services.registry.inspection.inspection import Inspection, Verdict
from services.registry.messages import file_records, version_message
from services.registry.pushes.requests import Requests, chunk_of, first_of
from services.registry.pushes.variants import Announce, VariantPlace
from services.registry.storage.blobs import Blobs
from services.registry.storage.data_directory import DataDirectory
from services.registry.storage.pins import Pins
from services.registry.storage.room import DISK_FULL, disk_errors
from services.registry.storage.upload import INCOMPLETE, MISSING, Upload

_RETRY_AFTER_S = 2.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushLimits:
    """What is accepted, and how much of it at once."""

    package: PackageLimits
    concurrent: int
    idle_s: float = 30.0
    is_alone: bool = True
    """No other registry stores files in the same place: what a failed push has left there is deleted at once."""


@dataclass(frozen=True)
class _Checked:
    """A package that may become a version, and where its new files lie by their hash."""

    manifest: registry_pb2.Manifest
    verdict: Verdict
    staging: Path
    sources: Mapping[str, Path]
    place: VariantPlace | None = None


class Pushes:
    """The writing half of the registry's content."""

    def __init__(  # noqa: PLR0913 - they are its parts
        self,
        *,
        store: Store,
        blobs: Blobs,
        directory: DataDirectory,
        inspection: Inspection,
        completion: Completion,
        pins: Pins,
        limits: PushLimits,
        announce: Announce,
    ) -> None:
        """`announce` tells replicas of a new variant."""
        self._store = store
        self._kept = directory.kept
        self._blobs = blobs
        self._directory = directory
        self._inspection = inspection
        self._completion = completion
        self._limits = limits
        self._running = 0
        self._pins = pins
        self._announce = announce

    async def push(self, requests: Requests, *, actor: str, timeout_s: float) -> registry_pb2.PushVersionResponse:
        """Receive a package and make it a version or a variant of one, or find what it is already and mend its damaged
        files.

        Raises InvalidInput for a bad package, NotFound and FailedPrecondition for a variant that cannot be,
        ResourceExhausted over a limit or when the disk is full, DeadlineExceeded when it is not all there after
        `timeout_s` or nothing more comes for a while.
        """
        requests = _without_stalls(requests, self._limits.idle_s)
        first = first_of(await anext(requests, None))
        manifest = first.manifest
        check_manifest(manifest, limits=self._limits.package)
        place = VariantPlace.of(first)
        existing = await self._find(manifest, place)
        if existing is not None and not await self._blobs.find_unsound({file.sha256 for file in manifest.files}):
            return await self._answer(existing, place, created=False)
        if self._running >= self._limits.concurrent:
            raise ResourceExhausted(
                f"{self._running} pushes are running, which is the limit.",
                reason="TOO_MANY_PUSHES",
                fix="Try again in a moment.",
                retry_after_s=_RETRY_AFTER_S,
            )
        async with disk_errors():
            staging = self._directory.new_staging()
        self._running += 1
        upload = Upload(manifest, staging, self._kept)
        async with self._pins.holding({file.sha256 for file in manifest.files}):
            push: int | None = None
            try:
                push = None if existing else await self._begin(manifest, actor)
                async with disk_errors(), asyncio.timeout(timeout_s):
                    checked = await self._receive(manifest, requests, upload, staging, existing, push, place)
            except BaseException as error:
                await self._completion.finish(self._put_aside(upload, staging, error, push))
                raise
            finally:
                self._running -= 1
                if not self._running:
                    give_back_freed_memory()
            # What follows is short and must not stop half way because the caller has gone.
            return await self._completion.finish(self._commit(checked, push, actor=actor))

    async def _begin(self, manifest: registry_pb2.Manifest, actor: str) -> int:
        size_bytes = sum(file.size_bytes for file in manifest.files)
        async with self._store.writing() as writing:
            return await writing.add_push(NewPush(manifest.model, manifest_digest(manifest), size_bytes, actor))

    async def _find(self, manifest: registry_pb2.Manifest, place: VariantPlace | None) -> VersionRecord | None:
        async with self._store.reading() as reading:
            if place is not None:
                return await place.find(reading, manifest_digest(manifest))
            return await reading.version_of_digest(manifest.model, manifest_digest(manifest))

    async def _answer(
        self, version: VersionRecord, place: VariantPlace | None, *, created: bool
    ) -> registry_pb2.PushVersionResponse:
        async with self._store.reading() as reading:
            aliases = await reading.aliases(version.model)
        variant = "" if place is None else place.name
        message = version_message(version, aliases)
        return registry_pb2.PushVersionResponse(version=message, created=created, variant=variant)

    async def _receive(
        self,
        manifest: registry_pb2.Manifest,
        requests: Requests,
        upload: Upload,
        staging: Path,
        existing: VersionRecord | None,
        push: int | None,
        place: VariantPlace | None,
    ) -> _Checked:
        try:
            async for request in requests:
                await upload.add(chunk_of(request))
            await upload.finish()
        finally:
            await upload.close()
        await upload.take_empty_file()
        await self._check_complete(manifest, upload)
        sources = {sha256: upload.path(sha256) for sha256 in upload.received}
        if existing is not None:  # it was inspected when it became a version; only damaged files are replaced
            _LOG.warning("replacing damaged files", extra={"model": existing.model, "version": existing.version})
            verdict = Verdict(manifest_digest(manifest), existing.description, dry_run="", is_isolated=True)
            return _Checked(manifest, verdict, staging, sources, place)
        if push is not None:
            async with self._store.writing() as writing:
                await writing.set_push(push, VersionState.CHECKING)
        await self._assemble(manifest, upload, staging / "package")
        verdict = await self._inspection.inspect(staging / "package", manifest)
        _check_verdict(manifest, verdict)
        if place is not None:
            async with self._store.reading() as reading:
                await place.check(reading, verdict.optimised)
        return _Checked(manifest, verdict, staging, sources, place)

    async def _check_complete(self, manifest: registry_pb2.Manifest, upload: Upload) -> None:
        hashes = {file.sha256 for file in manifest.files} - upload.received
        async with self._store.reading() as reading:
            known = await reading.known_files(hashes)
        upload.check_complete(known - await self._blobs.find_unsound(known))

    async def _assemble(self, manifest: registry_pb2.Manifest, upload: Upload, package: Path) -> None:
        """Lay the files out as the package they are."""
        for file in manifest.files:
            target = package / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.sha256 in upload.received:
                target.hardlink_to(upload.path(file.sha256))
            else:
                await self._blobs.fetch(file.sha256, target)

    async def _put_aside(self, upload: Upload, staging: Path, error: BaseException, push: int | None) -> None:
        """After a failure: keep what has arrived for the next push, unless it will never be a version or there is no
        room. Why a package was rejected is kept."""
        if isinstance(error, ResourceExhausted) and error.reason == DISK_FULL:
            await asyncio.to_thread(self._kept.clear)
        elif not isinstance(error, InvalidInput) or error.reason in (MISSING, INCOMPLETE):
            await asyncio.to_thread(upload.keep)
        await _remove(staging)
        if push is None:
            return
        async with self._store.writing() as writing:
            if _is_rejected(error):
                await writing.set_push(push, VersionState.REJECTED, reason=error.message, fix=error.fix)
            else:
                await writing.forget_push(push)

    async def _commit(self, checked: _Checked, push: int | None, *, actor: str) -> registry_pb2.PushVersionResponse:
        try:
            async with self._pins.holding({file.sha256 for file in checked.manifest.files}):
                async with disk_errors():
                    for sha256, source in checked.sources.items():
                        await self._blobs.put(sha256, source, verified=checked.verdict.is_isolated)
                version, created = await self._record(checked, push, actor=actor)
        finally:
            await self._drop_unused(checked.sources)
            await _remove(checked.staging)
        return await self._answer(version, checked.place, created=created)

    async def _record(self, checked: _Checked, push: int | None, *, actor: str) -> tuple[VersionRecord, bool]:
        manifest, verdict = checked.manifest, checked.verdict
        async with self._store.writing() as writing:
            if push is not None:
                await writing.forget_push(push)
            if checked.place is not None:
                return await self._record_variant(writing, checked, checked.place, actor)
            # Somebody may have pushed the same while this was being received.
            existing = await writing.version_of_digest(manifest.model, verdict.digest)
            if existing is not None:
                return existing, False
            await self._check_kept(writing, checked)
            version = await writing.add_version(
                NewVersion(
                    manifest.model,
                    verdict.digest,
                    verdict.description,
                    file_records(manifest),
                    verdict.dry_run,
                    verdict.lineage,
                )
            )
            after = {"version": version.version, "digest": version.digest}
            await writing.record(AuditEntry(actor, "push", manifest.model, before=None, after=after))
            return version, True

    async def _record_variant(
        self, writing: Writing, checked: _Checked, place: VariantPlace, actor: str
    ) -> tuple[VersionRecord, bool]:
        verdict = checked.verdict
        existing = await place.find(writing, verdict.digest)
        if existing is not None:
            return existing, False
        await self._check_kept(writing, checked)
        new = NewVariant(
            place.model,
            place.number,
            place.name,
            verdict.digest,
            file_records(checked.manifest),
            actor,
            verdict.optimised or {},
            verdict.dry_run,
            verdict.lineage,
        )
        await place.record(writing, new)
        version = await place.version(writing)
        await self._announce(writing, place.model)
        return version, True

    async def _check_kept(self, writing: Writing, checked: _Checked) -> None:
        """Where others delete files, what was there a moment ago may be gone. Raises Unavailable."""
        if self._limits.is_alone:
            return
        others = {file.sha256 for file in checked.manifest.files} - checked.sources.keys()
        if others - await writing.known_files(others) or await self._blobs.find_missing(checked.sources.keys()):
            raise _collected()

    async def _drop_unused(self, hashes: Collection[str]) -> None:
        """Delete what was stored for nothing: held by no version and by no other push that is about to record one."""
        if not self._limits.is_alone:
            return  # another registry may be about to record them; the leader collects them when they are old
        async with self._pins.lock:
            async with self._store.reading() as reading:
                unknown = frozenset(hashes) - await reading.known_files(hashes) - self._pins.held
            for sha256 in unknown:
                await self._blobs.delete(sha256)


def _is_rejected(error: BaseException) -> TypeGuard[LeptonError]:
    """Whether the package will never be a version, rather than that not all of it came, or something was in the way."""
    return isinstance(error, InvalidInput | FailedPrecondition) and error.reason not in (MISSING, INCOMPLETE)


def _check_verdict(manifest: registry_pb2.Manifest, verdict: Verdict) -> None:
    if verdict.digest != manifest_digest(manifest):
        raise InvalidInput.of_field(
            "manifest.model", "is not the name that lepton.yaml gives", fix="Push the package as it was read."
        )


def _collected() -> Unavailable:
    return Unavailable(
        "Files of this push were deleted by another registry before it was done.",
        reason="FILES_COLLECTED",
        fix="Push again.",
        retry_after_s=_RETRY_AFTER_S,
    )


async def _without_stalls(requests: Requests, idle_s: float) -> Requests:
    while True:
        try:
            async with asyncio.timeout(idle_s):
                request = await anext(requests, None)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Nothing arrived for {idle_s:g} s.", reason="UPLOAD_STALLED", fix="Push again."
            ) from error
        if request is None:
            return
        yield request


async def _remove(directory: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
