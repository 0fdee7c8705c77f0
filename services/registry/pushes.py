"""Turns an upload into an immutable version: receive, check, store, record; or leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import DeadlineExceeded, InvalidInput, ResourceExhausted
from lepton_ai.package import PackageLimits, check_manifest, manifest_digest
from lepton_ai.v1 import registry_pb2
from services.registry.completion import Completion
from services.registry.inspection.inspection import Inspection, Verdict
from services.registry.messages import file_records, version_message
from services.registry.storage.blobs import Blobs
from services.registry.storage.data_directory import DataDirectory
from services.registry.storage.room import disk_errors
from services.registry.storage.upload import Upload
from services.registry.store import AuditEntry, NewVersion, Store, VersionRecord

_RETRY_AFTER_S = 2.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushLimits:
    """What is accepted, and how much of it at once."""

    package: PackageLimits
    concurrent: int
    idle_s: float = 30.0


@dataclass(frozen=True)
class _Checked:
    """A package that may become a version, and where its new files lie by their hash."""

    manifest: registry_pb2.Manifest
    verdict: Verdict
    staging: Path
    sources: Mapping[str, Path]


class Pushes:
    """The writing half of the registry's content."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        directory: DataDirectory,
        inspection: Inspection,
        completion: Completion,
        limits: PushLimits,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._directory = directory
        self._inspection = inspection
        self._completion = completion
        self._limits = limits
        self._running = 0
        self._pinned: Counter[str] = Counter()
        self._pins = asyncio.Lock()

    async def push(
        self, requests: AsyncIterator[registry_pb2.PushVersionRequest], *, actor: str, timeout_s: float
    ) -> registry_pb2.PushVersionResponse:
        """Receive a package and make it a version, or find the version that it is already and mend its damaged files.

        Raises InvalidInput for a bad package, ResourceExhausted over a limit or when the disk is full, DeadlineExceeded
        when it is not all there after `timeout_s` or nothing more comes for a while.
        """
        requests = _without_stalls(requests, self._limits.idle_s)
        manifest = await _read_manifest(requests)
        check_manifest(manifest, limits=self._limits.package)
        existing = await self._find(manifest)
        if existing is not None and not await self._blobs.find_unsound({file.sha256 for file in manifest.files}):
            return await self._answer(existing, created=False)
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
        try:
            async with disk_errors(), asyncio.timeout(timeout_s):
                checked = await self._receive(manifest, requests, staging, existing)
        except BaseException:
            await self._completion.finish(_remove(staging))
            raise
        finally:
            self._running -= 1
        # What follows is short and must not stop half way because the caller has gone.
        return await self._completion.finish(self._commit(checked, actor=actor))

    @property
    def pinned(self) -> frozenset[str]:
        """Hashes of the files that are stored, or being stored, for versions that are not recorded yet."""
        return frozenset(self._pinned)

    async def _find(self, manifest: registry_pb2.Manifest) -> VersionRecord | None:
        async with self._store.reading() as reading:
            return await reading.version_of_digest(manifest.model, manifest_digest(manifest))

    async def _answer(self, version: VersionRecord, *, created: bool) -> registry_pb2.PushVersionResponse:
        async with self._store.reading() as reading:
            aliases = await reading.aliases(version.model)
        return registry_pb2.PushVersionResponse(version=version_message(version, aliases), created=created)

    async def _receive(
        self,
        manifest: registry_pb2.Manifest,
        requests: AsyncIterator[registry_pb2.PushVersionRequest],
        staging: Path,
        existing: VersionRecord | None,
    ) -> _Checked:
        upload = Upload(manifest, staging)
        try:
            async for request in requests:
                if request.WhichOneof("kind") != "chunk":
                    raise InvalidInput.of_field("chunk", "must follow the manifest; there is only one manifest")
                await upload.add(request.chunk)
            upload.finish()
        finally:
            upload.close()
        upload.take_empty_file()
        await self._check_complete(manifest, upload)
        sources = {sha256: upload.path(sha256) for sha256 in upload.received}
        if existing is not None:  # it was inspected when it became a version; only damaged files are replaced
            _LOG.warning("replacing damaged files", extra={"model": existing.model, "version": existing.version})
            return _Checked(manifest, Verdict(existing.digest, existing.description), staging, sources)
        await self._assemble(manifest, upload, staging / "package")
        verdict = await self._inspection.inspect(staging / "package")
        _check_verdict(manifest, verdict)
        return _Checked(manifest, verdict, staging, sources)

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
                await asyncio.to_thread(shutil.copyfile, upload.path(file.sha256), target)
            else:
                await self._blobs.fetch(file.sha256, target)

    async def _commit(self, checked: _Checked, *, actor: str) -> registry_pb2.PushVersionResponse:
        sources = checked.sources
        await self._pin(sources)
        try:
            async with disk_errors():
                for sha256, source in sources.items():
                    await self._blobs.put(sha256, source)
            version, created = await self._record(checked.manifest, checked.verdict, actor=actor)
        finally:
            await self._unpin(sources)
            await _remove(checked.staging)
        return await self._answer(version, created=created)

    async def _record(
        self, manifest: registry_pb2.Manifest, verdict: Verdict, *, actor: str
    ) -> tuple[VersionRecord, bool]:
        async with self._store.writing() as writing:
            # Somebody may have pushed the same while this was being received.
            existing = await writing.version_of_digest(manifest.model, verdict.digest)
            if existing is not None:
                return existing, False
            version = await writing.add_version(
                NewVersion(manifest.model, verdict.digest, verdict.description, file_records(manifest))
            )
            after = {"version": version.version, "digest": version.digest}
            await writing.record(AuditEntry(actor, "push", manifest.model, before=None, after=after))
            return version, True

    async def _pin(self, hashes: Collection[str]) -> None:
        async with self._pins:
            self._pinned.update(list(hashes))  # Counter would read a mapping as counts

    async def _unpin(self, hashes: Collection[str]) -> None:
        """Delete what was stored for nothing: held by no version and by no other push that is about to record one."""
        async with self._pins:
            self._pinned.subtract(list(hashes))
            self._pinned += Counter()  # forgets the zeros
            async with self._store.reading() as reading:
                known = await reading.known_files(hashes)
            for sha256 in hashes:
                if sha256 not in known and sha256 not in self._pinned:
                    await self._blobs.delete(sha256)


async def _read_manifest(requests: AsyncIterator[registry_pb2.PushVersionRequest]) -> registry_pb2.Manifest:
    first = await anext(requests, None)
    if first is None or first.WhichOneof("kind") != "manifest":
        raise InvalidInput.of_field("manifest", "must be the first message")
    return first.manifest


def _check_verdict(manifest: registry_pb2.Manifest, verdict: Verdict) -> None:
    if verdict.digest != manifest_digest(manifest):
        raise InvalidInput.of_field(
            "manifest.model", "is not the name that lepton.yaml gives", fix="Push the package as it was read."
        )


async def _without_stalls(
    requests: AsyncIterator[registry_pb2.PushVersionRequest], idle_s: float
) -> AsyncIterator[registry_pb2.PushVersionRequest]:
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
