"""A signature as the database has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SignatureRecord:
    """The signature of a version; a version has one, the newest."""

    model: str
    version: int
    bundle: bytes
    signer: str
    """As the signature says it."""
    is_verified: bool
    """Whether it was found to be of somebody trusted when it was taken in."""
    actor: str
    signed_at: datetime
    variant: str = ""
    """Of the version, which it is of then."""
