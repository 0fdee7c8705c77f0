"""What becomes of versions that are not signed by somebody who is trusted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.signing.keys import TrustedKeys
from lepton_ai.signing.subject import subject
from lepton_ai.v1 import registry_pb2

if TYPE_CHECKING:
    from lepton_ai.signing import bundles

Policy = Literal["none", "warn", "require"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignatureCheck:
    """Verifies signatures by a policy: "none" does not, "warn" only says what is wrong, "require" refuses."""

    policy: Policy = "none"
    trusted: TrustedKeys = field(default_factory=TrustedKeys)

    @classmethod
    def of(cls, policy: Policy, keys: str) -> SignatureCheck:
        """From settings. Raises FailedPrecondition when signatures are to be verified and nothing is trusted."""
        check = cls(policy, TrustedKeys.of(keys))
        if policy != "none":
            check.trusted.check()
        return check

    @property
    def is_active(self) -> bool:
        """Whether signatures are verified at all."""
        return self.policy != "none"

    def check(
        self, model: str, version: int, manifest: registry_pb2.Manifest, bundle: bytes | None, variant: str = ""
    ) -> str:
        """Who has signed this version, or a variant of it; empty where nobody has and the policy allows it.

        Raises under "require" what is wrong with the signature: FailedPrecondition, InvalidInput.
        """
        if not self.is_active:
            return ""
        try:
            return self.signer(model, version, manifest, bundle, variant)
        except LeptonError as error:
            if self.policy == "require":
                raise
            name = subject(model, version, variant)
            _LOG.warning("%s: %s", name, error.message, extra={"model": model, "version": version})
            return ""

    def signer(
        self, model: str, version: int, manifest: registry_pb2.Manifest, bundle: bytes | None, variant: str = ""
    ) -> str:
        """Who has signed exactly this version, whatever the policy. Raises as `verify_version` does."""
        return verify_version(model, version, manifest, bundle, self.trusted, variant)


def verify_version(
    model: str,
    version: int,
    manifest: registry_pb2.Manifest,
    bundle: bytes | None,
    trusted: TrustedKeys,
    variant: str = "",
) -> str:
    """Who has signed exactly this version, or this variant of it, with exactly these files.

    Raises FailedPrecondition when nobody has (the reason says why: SIGNATURE_MISSING, SIGNATURE_NOT_TRUSTED,
    SIGNATURE_OF_ANOTHER, SIGNATURE_OF_OTHER_FILES), InvalidInput for what is no signature.
    """
    from lepton_ai.signing import bundles  # imported late: the library is large, and most processes verify nothing

    if bundle is None:
        name = subject(model, version, variant)
        raise FailedPrecondition(
            f"{name} is not signed.",
            reason="SIGNATURE_MISSING",
            fix=f"Sign it: `lepton sign {name}`, or push it with --sign.",
        )
    signed = bundles.verify(bundle, trusted)
    check_subject(signed, model, version, manifest, variant)
    return signed.signer


def check_subject(
    signed: bundles.Signed, model: str, version: int, manifest: registry_pb2.Manifest, variant: str = ""
) -> None:
    """Raises FailedPrecondition for a signature of another version or variant, or of other files."""
    expected = subject(model, version, variant)
    if signed.subject != expected or manifest.model != model:
        raise FailedPrecondition(
            f"The signature is for {signed.subject[:100]}, not for {expected}.",
            reason="SIGNATURE_OF_ANOTHER",
            fix=f"Somebody may have put an older version in its place. If all is well: `lepton sign {expected}`.",
        )
    if signed.files != {file.path: file.sha256 for file in manifest.files}:
        raise FailedPrecondition(
            f"The files of {expected} are not those that were signed.",
            reason="SIGNATURE_OF_OTHER_FILES",
            fix="Find out who changed them; push the package again and sign that.",
        )
