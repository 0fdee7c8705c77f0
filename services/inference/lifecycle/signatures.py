"""Signatures of deployed versions: asked of the registry, verified before a version is loaded, kept for outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path

import grpc

from lepton_ai.archive import replacing
from lepton_ai.errors import LeptonError, NotFound
from lepton_ai.package.transfer import RegistryPool
from lepton_ai.signing.policy import SignatureCheck
from lepton_ai.signing.subject import subject
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc
from services.inference.version import VersionKey

_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


class Signatures:
    """Whether versions are signed as this replica asks, whatever registry and etcd say."""

    def __init__(self, directory: Path, registry: RegistryPool, check: SignatureCheck) -> None:
        """`directory` is this replica's own; its workers share it."""
        self._directory = directory
        self._registry = registry
        self._check = check

    async def check(self, key: VersionKey, manifest: registry_pb2.Manifest) -> None:
        """Verify that somebody trusted has signed this version or variant with these files.

        Does nothing under the policy "none".

        Raises under "require" FailedPrecondition or InvalidInput, or why the registry could not be asked.
        """
        if not self._check.is_active:
            return
        path = self._directory / _file_name(key)
        kept = await asyncio.to_thread(_read, path)
        if kept is not None and await self._is_good(key, manifest, kept):
            return
        try:
            bundle = await self._ask(key)
        except LeptonError as error:
            if self._check.policy == "require":
                raise
            _log.warning("The signature of %s cannot be verified: %s", subject(*key), error.message)
            return
        await asyncio.to_thread(self._check.check, key.model, key.version, manifest, bundle, key.variant)
        if bundle is not None:
            await asyncio.to_thread(_write, path, bundle)

    def prune(self, keep: Collection[VersionKey]) -> None:
        """Forget the signatures of all versions but those in `keep`. Blocks on the disk."""
        names = set(map(_file_name, keep))
        for path in self._directory.glob("*.sig"):
            if path.name not in names:
                path.unlink(missing_ok=True)

    async def _is_good(self, key: VersionKey, manifest: registry_pb2.Manifest, bundle: bytes) -> bool:
        """A signature that is good no more may have been replaced since, by one with a newer key for instance."""
        try:
            signer = self._check.signer
            return bool(await asyncio.to_thread(signer, key.model, key.version, manifest, bundle, key.variant))
        except LeptonError:
            return False

    async def _ask(self, key: VersionKey) -> bytes | None:
        request = registry_pb2.GetSignatureRequest(variant=key.variant)
        request.model.name, request.model.version = key.model, key.version

        async def get(channel: grpc.aio.Channel, timeout_s: float) -> registry_pb2.Signature:
            return await registry_pb2_grpc.RegistryServiceStub(channel).GetSignature(request, timeout=timeout_s)

        try:
            return (await self._registry.call(get, timeout_s=_TIMEOUT_S)).bundle
        except NotFound:
            return None


def _file_name(key: VersionKey) -> str:
    return f"{subject(*key)}.sig"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, bundle: bytes) -> None:
    with replacing(path) as file:
        file.write(bundle)
