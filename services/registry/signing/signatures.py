"""Takes signatures in, gives them out, and says which versions may be served."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from lepton_ai.errors import NotFound
from lepton_ai.references import check_name
from lepton_ai.signing.policy import SignatureCheck, check_subject
from lepton_ai.signing.subject import subject
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue.catalogue import find_variant, resolve
from services.registry.completion import Completion
from services.registry.database.store import AuditEntry, Reading, Store, VersionRecord
from services.registry.messages import manifest_message
from services.registry.signing.record import SignatureRecord


class Signatures:
    """The signatures of all versions."""

    def __init__(self, *, store: Store, completion: Completion, check: SignatureCheck) -> None:
        self._store = store
        self._completion = completion
        self._check = check

    async def sign(self, model: str, version: int, bundle: bytes, *, actor: str, variant: str = "") -> SignatureRecord:
        """Keep a signature with its version, or with a variant of it, in place of an earlier one.

        Raises NotFound, InvalidInput for what is no signature, FailedPrecondition for that of another version or of
        other files and, where signatures are required, for that of somebody who is not trusted.
        """
        ref = common_pb2.ModelRef(name=check_name(model, field="model"), version=version)
        async with self._store.reading() as reading:
            record = await resolve(reading, ref)
        manifest = manifest_message(find_variant(record, variant) if variant else record)
        signer, is_verified = await asyncio.to_thread(self._read, manifest, record.version, variant, bundle)
        at = datetime.now(UTC)
        signature = SignatureRecord(record.model, record.version, bundle, signer, is_verified, actor, at, variant)
        await self._completion.finish(self._keep(signature))
        return signature

    async def find(self, ref: common_pb2.ModelRef, variant: str = "") -> SignatureRecord:
        """The signature of a version, without a selector of the newest, or of a variant of it. Raises NotFound."""
        async with self._store.reading() as reading:
            version = await resolve(reading, ref)
            signature = await reading.signature(version.model, version.version, variant)
        if signature is None:
            name = subject(version.model, version.version, variant)
            raise NotFound(f"{name} is not signed.", reason="SIGNATURE_MISSING", fix=f"Sign it: `lepton sign {name}`.")
        return signature

    async def check_servable(self, reading: Reading, version: VersionRecord, variant: str = "") -> None:
        """Raises FailedPrecondition for a version, or a variant of it, that is not signed as the policy asks."""
        if self._check.is_active:
            signature = await reading.signature(version.model, version.version, variant)
            bundle = None if signature is None else signature.bundle
            manifest = manifest_message(find_variant(version, variant) if variant else version)
            await asyncio.to_thread(self._check.check, version.model, version.version, manifest, bundle, variant)

    async def mark_unsigned(self, versions: Sequence[registry_pb2.ModelVersion]) -> None:
        """Say of versions that are ready but for a signature that the policy requires that they are not."""
        if self._check.policy != "require" or not versions:
            return
        async with self._store.reading() as reading:
            signed = await reading.signed({each.model for each in versions})
        for each in versions:
            if each.state == registry_pb2.MODEL_VERSION_STATE_READY and (each.model, each.version) not in signed:
                each.state = registry_pb2.MODEL_VERSION_STATE_CHECKING
                each.reason = f"it waits for a signature: lepton sign {each.model}@{each.version}"

    def _read(self, manifest: registry_pb2.Manifest, version: int, variant: str, bundle: bytes) -> tuple[str, bool]:
        """Who has made it, and whether that was verified. Only its content is looked at where nothing is verified."""
        from lepton_ai.signing import bundles  # imported late: the library is large

        signed = bundles.read(bundle)
        check_subject(signed, manifest.model, version, manifest, variant)
        if not self._check.is_active:
            return signed.signer, False
        signer = self._check.check(manifest.model, version, manifest, bundle, variant)
        return signed.signer, bool(signer)

    async def _keep(self, signature: SignatureRecord) -> None:
        async with self._store.writing() as writing:
            before = await writing.signature(signature.model, signature.version, signature.variant)
            if before is not None and before.bundle == signature.bundle:
                return
            await writing.set_signature(signature)
            await writing.record(
                AuditEntry(
                    signature.actor,
                    "sign",
                    signature.model,
                    before=None if before is None else _summary(before),
                    after=_summary(signature),
                )
            )


def signature_message(record: SignatureRecord) -> registry_pb2.Signature:
    """A signature as callers see it."""
    message = registry_pb2.Signature(
        model=record.model,
        version=record.version,
        bundle=record.bundle,
        signer=record.signer,
        verified=record.is_verified,
        variant=record.variant,
    )
    message.signed_at.FromDatetime(record.signed_at)
    return message


def _summary(record: SignatureRecord) -> dict[str, object]:
    signed: dict[str, object] = {"version": record.version, "signer": record.signer, "verified": record.is_verified}
    return {**signed, "variant": record.variant} if record.variant else signed
