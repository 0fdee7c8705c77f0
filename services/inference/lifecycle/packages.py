"""Packages of deployed versions on this machine: fetched from the registry once, checked, and kept for its outages."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from google.protobuf.message import DecodeError

from lepton_ai.archive import replacing
from lepton_ai.errors import DataLoss, InvalidInput
from lepton_ai.package import (
    DESCRIPTION_FILE,
    Description,
    Package,
    PackageLimits,
    check_manifest,
    manifest_digest,
    served_files,
)
from lepton_ai.package.transfer import RegistryPool, download_to, fetch_manifest
from lepton_ai.v1 import registry_pb2
from services.inference.locks import Locks

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MANIFEST = ".manifest"
_MANIFEST_TIMEOUT_S = 30.0
_FILE_TIMEOUT_S = 60.0
# A slow registry still gets a large file through: a fetch may take a second more for every so many bytes.
_SLOWEST_BYTES_PER_S = 5 << 20
_SPARE_PACKAGES = 10
_TURN_TIMEOUT_S = 600.0
"""Another worker may fetch a large package; who has waited for so long tries again from the beginning."""


class PackageCache:
    """Packages by digest in a directory of this replica's workers, without the files that serving does not need."""

    def __init__(
        self, directory: Path, registry: RegistryPool, locks: Locks, *, limits: PackageLimits | None = None
    ) -> None:
        self._directory = directory
        self._registry = registry
        self._locks = locks
        self._limits = limits or PackageLimits()

    async def fetch(self, deployed: registry_pb2.DeployedVersion) -> Package:
        """The package of a version, from the cache if it is there.

        Raises InvalidInput for a manifest that is unsafe or not the one its digest names, DataLoss when a file is not
        what the manifest says, and what calling the registry raises.
        """
        deployed = await self._listed(deployed)
        self._check(deployed)
        target = self._directory / deployed.digest
        package = await self._find(target, deployed)
        if package is not None:
            return package
        async with self._locks.exclusive(f"{deployed.digest}.fetch", timeout_s=_TURN_TIMEOUT_S):
            package = await self._find(target, deployed)  # another worker may have fetched it meanwhile
            if package is not None:
                return package
            await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
            await self._download(deployed, target)
            return await asyncio.to_thread(self._read, target, deployed)

    async def _listed(self, deployed: registry_pb2.DeployedVersion) -> registry_pb2.DeployedVersion:
        """The version with its files: as it was published, from the disk, or from the registry."""
        if deployed.manifest.files or not _DIGEST.fullmatch(deployed.digest):
            return deployed
        kept = self._directory / f"{deployed.digest}{_MANIFEST}"
        manifest = await asyncio.to_thread(_read_manifest, kept, deployed.digest)
        if manifest is None:
            manifest = await fetch_manifest(self._registry, deployed, timeout_s=_MANIFEST_TIMEOUT_S)
            await asyncio.to_thread(_write_manifest, kept, manifest)
        return registry_pb2.DeployedVersion(version=deployed.version, digest=deployed.digest, manifest=manifest)

    async def _find(self, target: Path, deployed: registry_pb2.DeployedVersion) -> Package | None:
        """What is on the disk; None where it is missing or damaged: the registry has it whole."""
        try:
            return await asyncio.to_thread(self._read, target, deployed)
        except (DataLoss, InvalidInput):
            return None

    def prune(self, keep: Collection[str]) -> None:
        """Remove all packages but those in `keep` and the few that were fetched last. Blocks on the disk."""
        if not self._directory.is_dir():
            return
        found = [path for path in self._directory.iterdir() if path.name.removesuffix(_MANIFEST) not in keep]
        spare = [path for path in found if _DIGEST.fullmatch(path.name)]
        spare.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in spare[_SPARE_PACKAGES:]:
            shutil.rmtree(path, ignore_errors=True)
            path.with_name(path.name + _MANIFEST).unlink(missing_ok=True)

    def _check(self, deployed: registry_pb2.DeployedVersion) -> None:
        check_manifest(deployed.manifest, limits=self._limits)
        if not _DIGEST.fullmatch(deployed.digest) or manifest_digest(deployed.manifest) != deployed.digest:
            raise InvalidInput.of_field("digest", "is not the digest of the manifest", reason="DIGEST_MISMATCH")

    def _read(self, directory: Path, deployed: registry_pb2.DeployedVersion) -> Package:
        package = Package.read_served(directory, deployed.manifest, limits=self._limits)  # hashes every file of it
        if package.digest != deployed.digest:
            raise DataLoss("The package on disk is not the one that was deployed.", reason="PACKAGE_DAMAGED")
        return package

    async def _download(self, deployed: registry_pb2.DeployedVersion, target: Path) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self._directory))
        try:
            files = {file.path: file for file in deployed.manifest.files}
            await self._download_file(files.pop(DESCRIPTION_FILE), temporary / DESCRIPTION_FILE)
            described = await asyncio.to_thread((temporary / DESCRIPTION_FILE).read_bytes)
            for path in served_files(Description.parse(described), files):
                await self._download_file(files[path], temporary / path)
            await asyncio.to_thread(temporary.rename, target)
        finally:
            await asyncio.to_thread(shutil.rmtree, temporary, ignore_errors=True)

    async def _download_file(self, file: registry_pb2.PackageFile, path: Path) -> None:
        timeout_s = _FILE_TIMEOUT_S + file.size_bytes / _SLOWEST_BYTES_PER_S
        await download_to(self._registry, file, path, timeout_s=timeout_s)


def _read_manifest(path: Path, digest: str) -> registry_pb2.Manifest | None:
    """The one on the disk; None when it is missing or damaged."""
    try:
        manifest = registry_pb2.Manifest.FromString(path.read_bytes())
    except (FileNotFoundError, DecodeError):
        return None
    return manifest if manifest_digest(manifest) == digest else None


def _write_manifest(path: Path, manifest: registry_pb2.Manifest) -> None:
    with replacing(path) as file:
        file.write(manifest.SerializeToString())
