"""Signing of versions as a client does it: with a private key that never leaves this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lepton_ai.client.control.registry_calls import RegistryClient, get_version
from lepton_ai.errors import FailedPrecondition, NotFound
from lepton_ai.references import parse_model_ref
from lepton_ai.signing.keys import SigningKey, TrustedKeys
from lepton_ai.signing.policy import verify_version
from lepton_ai.signing.subject import subject
from lepton_ai.v1 import registry_pb2

Key = SigningKey | Path | str


class Signatures:
    """The part of `AsyncClient` for signatures."""

    async def sign(
        self: RegistryClient, model: str, key: Key, *, directory: Path | str | None = None
    ) -> registry_pb2.Signature:
        """Sign a version that is in the registry ("NAME@VERSION", "NAME@ALIAS"; NAME: the newest), or a variant of it
        ("NAME@VERSION+VARIANT").

        With the package's `directory`, what lies there is signed, and FailedPrecondition raised when the version is not
        that; without it, the registry is trusted to tell the version's files. Raises NotFound, FailedPrecondition.
        """
        reference, _, variant = model.partition("+")
        version = await get_version(self, reference)
        manifest = _manifest_of(version, variant)
        if directory is not None:
            found = await asyncio.to_thread(_read_manifest, Path(directory))
            _check_same(found, manifest, subject(version.model, version.version, variant))
            manifest = found
        return await sign_manifest(self, manifest, version.version, key, variant)

    async def signature(self: RegistryClient, model: str) -> registry_pb2.Signature:
        """The signature of a version or a variant, as it is kept, which proves nothing before `verify`.

        Raises NotFound for one that is not signed.
        """
        reference, _, variant = model.partition("+")
        version = await get_version(self, reference)
        return await _signature(self, version, variant)

    async def verify(self: RegistryClient, model: str, trusted: TrustedKeys) -> str:
        """Who has signed a version or a variant, if that is somebody trusted. Raises FailedPrecondition, NotFound."""
        reference, _, variant = model.partition("+")
        version = await get_version(self, reference)
        manifest = _manifest_of(version, variant)
        signature = await _signature(self, version, variant)
        return await asyncio.to_thread(
            verify_version, version.model, version.version, manifest, signature.bundle, trusted, variant
        )


async def sign_manifest(
    client: RegistryClient, manifest: registry_pb2.Manifest, version: int, key: Key, variant: str = ""
) -> registry_pb2.Signature:
    """Sign these files as a version that is in the registry, or as a variant of it.

    Raises FailedPrecondition when it has others.
    """
    from lepton_ai.signing import bundles  # imported late: the library is large, and most clients sign nothing

    signing_key = key if isinstance(key, SigningKey) else SigningKey(Path(key))
    bundle = await asyncio.to_thread(bundles.sign, manifest, version, signing_key, variant)
    request = registry_pb2.SignVersionRequest(model=manifest.model, version=version, bundle=bundle, variant=variant)
    return await client._registry(
        lambda stub, left_s: stub.SignVersion(request, timeout=left_s, metadata=client._proof), client._timeout_s
    )


async def _signature(
    client: RegistryClient, version: registry_pb2.ModelVersion, variant: str
) -> registry_pb2.Signature:
    ref = parse_model_ref(f"{version.model}@{version.version}")
    request = registry_pb2.GetSignatureRequest(model=ref, variant=variant)
    return await client._registry(lambda stub, left_s: stub.GetSignature(request, timeout=left_s), client._timeout_s)


def _read_manifest(directory: Path) -> registry_pb2.Manifest:
    from lepton_ai.package import Package  # imported here to save time in clients that only predict

    return Package.read(directory).manifest()


def _manifest_of(version: registry_pb2.ModelVersion, variant: str) -> registry_pb2.Manifest:
    """Of a version, or of a variant of it. Raises NotFound."""
    if not variant:
        return version.manifest
    found = next((each.manifest for each in version.variants if each.name == variant), None)
    if found is None:
        names = ", ".join(each.name for each in version.variants) or "none"
        raise NotFound(
            f"{version.model}@{version.version} has no variant {variant[:64]!r}.",
            reason="VARIANT_NOT_FOUND",
            fix=f"It has {names}.",
        )
    return found


def _check_same(found: registry_pb2.Manifest, pushed: registry_pb2.Manifest, name: str) -> None:
    from lepton_ai.package import manifest_digest

    if manifest_digest(found) != manifest_digest(pushed):
        raise FailedPrecondition(
            f"{name} is not the package in this folder.",
            reason="OTHER_PACKAGE",
            fix="Name the version that was pushed from it, or push it.",
        )
