"""Settings of services that verify signatures."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from lepton_ai.signing.policy import Policy, SignatureCheck


class SignatureSettings(BaseSettings):
    """Whose signatures count."""

    signatures: Policy = "none"
    """Signatures of versions: "none" verifies none, "warn" says in the log what is wrong, "require" refuses."""
    signature_keys: str | None = None
    """PEM files, and folders of them, with the public keys and the certificates of authorities that are trusted; ':'
    between them."""

    def signature_check(self) -> SignatureCheck:
        """How signatures are verified. Raises FailedPrecondition when they are to be and nothing is trusted."""
        return SignatureCheck.of(self.signatures, self.signature_keys or "")
