"""What a caller proves itself with: a token that whoever runs the platform has, read from a setting or a file."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from lepton_ai.errors import FailedPrecondition

_KEY = "authorization"
_SCHEME = "Bearer "

Metadata = tuple[tuple[str, str], ...]


def read_secret(name: str, value: str, file: Path | str | None) -> str:
    """The secret itself when it is given, else what stands in the file; empty when neither is.

    `name` is the setting's, LEPTON_TOKEN for instance. Raises FailedPrecondition when the file has none to read.
    """
    if value or not file:
        return value
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not secret:
        raise FailedPrecondition(
            f"The file that {name}_FILE names cannot be read or is empty.",
            reason="NO_SECRET",
            fix=f"Name a file that this user may read, or set {name} itself.",
        )
    return secret


def find_token(environ: Mapping[str, str]) -> str:
    """The token in LEPTON_TOKEN or in the file LEPTON_TOKEN_FILE; empty without them. Raises as `read_secret` does."""
    return read_secret("LEPTON_TOKEN", environ.get("LEPTON_TOKEN", ""), environ.get("LEPTON_TOKEN_FILE"))


def token_metadata(token: str) -> Metadata:
    """What a call carries to show a token; nothing for an empty one.

    Raises FailedPrecondition for a token that cannot be sent: no header of a call holds other characters.
    """
    if not (token.isascii() and token.isprintable()):
        raise FailedPrecondition(
            "The platform's token holds line breaks or characters beyond ASCII.",
            reason="NO_SECRET",
            fix="Set LEPTON_TOKEN to what stands in secrets/token of the run directory, and to nothing else.",
        )
    return ((_KEY, f"{_SCHEME}{token}"),) if token else ()


def shows_token(metadata: Iterable[tuple[str, str | bytes]] | None, token: str) -> bool:
    """Whether a call's metadata shows this token. How long that takes tells nothing about the token."""
    expected = f"{_SCHEME}{token}".encode()
    shown = [value for key, value in metadata or () if key == _KEY]
    return any(hmac.compare_digest(value.encode() if isinstance(value, str) else value, expected) for value in shown)
