"""Checks and records a push that is to become a variant of a version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.references import check_name
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue.catalogue import resolve_ready
from services.registry.database.store import AuditEntry, NewVariant, Reading, VersionRecord, Writing

Announce = Callable[[Writing, str], Awaitable[None]]
"""Tells replicas of a variant that was just recorded; last in a transaction."""


@dataclass(frozen=True)
class VariantPlace:
    """Which variant a push is to become."""

    model: str
    number: int
    """Of the version."""
    name: str

    @classmethod
    def of(cls, request: registry_pb2.PushVersionRequest) -> VariantPlace | None:
        """From the first message; None for a push of a version. Raises InvalidInput for what cannot be a name."""
        if not request.HasField("variant_of"):
            return None
        wanted = request.variant_of
        return cls(request.manifest.model, wanted.version, check_name(wanted.name, field="variant_of.name"))

    async def find(self, reading: Reading, digest: str) -> VersionRecord | None:
        """The version, if it has just this variant already.

        Raises NotFound for a version that does not exist, FailedPrecondition for one that is not ready, for a name that
        is taken, and for content that the version has under another name.
        """
        version = await self.version(reading)
        for variant in version.variants:
            if variant.name == self.name and variant.digest == digest:
                return version
            if variant.name == self.name:
                raise FailedPrecondition(
                    f"{self.model}@{self.number} has another variant {self.name}, and variants do not change.",
                    reason="VARIANT_EXISTS",
                    fix="Push it under another name: --variant NAME.",
                )
            if variant.digest == digest:
                raise FailedPrecondition(
                    f"{self.model}@{self.number} has this variant already, as {variant.name}.",
                    reason="VARIANT_EXISTS",
                    fix=f"Use that: {self.model}@{self.number}+{variant.name}.",
                )
        return None

    async def version(self, reading: Reading) -> VersionRecord:
        """The version that it is of. Raises NotFound, FailedPrecondition for one that may not be served."""
        return await resolve_ready(reading, common_pb2.ModelRef(name=self.model, version=self.number))

    async def check(self, reading: Reading, optimised: Mapping[str, Any] | None) -> None:
        """Raises InvalidInput for a package that does not say that it was made of this version."""
        version = await self.version(reading)
        if optimised is None:
            raise _other_original("is missing: the package does not say what it was made of")
        if optimised["of"] != version.digest:
            raise _other_original(f"is {optimised['of'][:12]}, not {version.digest[:12]}")

    async def record(self, writing: Writing, new: NewVariant) -> None:
        """Record what was checked."""
        await writing.add_variant(new)
        made = {"digest": new.digest, "of": new.optimised["of"], "method": new.optimised["method"]}
        after = {"version": new.version, "variant": self.name, **made}
        await writing.record(AuditEntry(new.actor, "push_variant", self.model, before=None, after=after))


def _other_original(problem: str) -> InvalidInput:
    return InvalidInput.of_field(
        "optimised.of",
        problem,
        reason="OTHER_ORIGINAL",
        fix="Make variants with `lepton optimise NAME@VERSION`, of the version that they are to belong to.",
    )
