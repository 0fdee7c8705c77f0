"""What a caller proves itself with: a token that whoever runs the platform has, read from a setting or a file."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from lepton_ai.errors import FailedPrecondition

_KEY = "authorization"
_SCHEME = "Bearer "
ACTOR_KEY = "lepton-actor"
_PLAIN = " @._-+:/,;=()[]"

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


def shown_tokens(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[bytes]:
    """The tokens that a call's metadata shows."""
    values = [value.encode() if isinstance(value, str) else value for key, value in metadata or () if key == _KEY]
    return [value.removeprefix(_SCHEME.encode()) for value in values if value.startswith(_SCHEME.encode())]


def actor_metadata(environ: Mapping[str, str]) -> Metadata:
    """What a call carries to say who makes it: LEPTON_ACTOR, else the user and machine; nothing proves it."""
    name = environ.get("LEPTON_ACTOR", "") or _user_at_machine()
    return ((ACTOR_KEY, quote(name, safe=_PLAIN)),) if name else ()


def said_actor(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Who a call says that it is from, printable; empty when it does not say."""
    said = next((value for key, value in metadata or () if key == ACTOR_KEY and isinstance(value, str)), "")
    return "".join(character for character in unquote(said) if character.isprintable())


def _user_at_machine() -> str:
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):  # a container's user often has no name
        return platform.node()
