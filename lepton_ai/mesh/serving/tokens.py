"""The tokens that callers may show: the platform's own, and named ones, so that one can tell who called."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lepton_ai.archive import replacing
from lepton_ai.credentials import shown_tokens
from lepton_ai.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_TOKEN_BYTES = 32

CallMetadata = Iterable[tuple[str, str | bytes]] | None


@dataclass(frozen=True)
class Tokens:
    """Who may call. The file is read anew at each call, so that tokens can be given and taken while a service runs."""

    own: str = field(default="", repr=False)
    """The platform's own token, which names nobody; empty: there is none."""
    file: Path | None = None
    """Lines of NAME and the SHA-256 of NAME's token."""

    def __bool__(self) -> bool:
        """Whether any token is needed."""
        return bool(self.own) or self.file is not None

    def identify(self, metadata: CallMetadata) -> str | None:
        """The name whose token a call shows, empty for the platform's own; None when it shows none that counts."""
        shown = shown_tokens(metadata)
        if self.own and any(hmac.compare_digest(token, self.own.encode()) for token in shown):
            return ""
        if shown and self.file is not None:
            hashes = {hashlib.sha256(token).hexdigest() for token in shown}
            for name, expected in read_tokens(self.file).items():
                if any(hmac.compare_digest(each, expected) for each in hashes):
                    return name
        return None


def read_tokens(path: Path) -> Mapping[str, str]:
    """Name → hash. Raises FailedPrecondition for a file that cannot be read or has other lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable("cannot be read") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _HASH.fullmatch(words[1]):
            raise _unreadable(f"has something else in line {number}")
        found[words[0]] = words[1]
    return found


def create_token(path: Path, name: str) -> str:
    """Make a token for a name and write its hash into the file. Returns the token, which stands nowhere.

    Raises InvalidInput for a name with other characters, AlreadyExists for one that has a token, FailedPrecondition.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput.of_field(
            "name", "must be 1 to 64 letters, digits and ._@-, beginning with one of the first two"
        )
    hashes = dict(read_tokens(path)) if path.exists() else {}
    if name in hashes:
        raise AlreadyExists(f"{name} has a token.", reason="TOKEN_EXISTS", fix=f"Take it away first: {name}.")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _write(path, hashes | {name: hashlib.sha256(token.encode()).hexdigest()})
    return token


def delete_token(path: Path, name: str) -> None:
    """Take a name's token away. Raises NotFound when it has none."""
    hashes = dict(read_tokens(path)) if path.exists() else {}
    if hashes.pop(name, None) is None:
        raise NotFound(f"{name[:64]} has no token in this file.", reason="TOKEN_NOT_FOUND")
    _write(path, hashes)


def _write(path: Path, hashes: Mapping[str, str]) -> None:
    with replacing(path) as file:
        file.write("".join(f"{name} {each}\n" for name, each in sorted(hashes.items())).encode())


def _unreadable(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The file that LEPTON_TOKENS_FILE names {what}.",
        reason="TOKENS_FILE",
        fix="Its lines are NAME and the SHA-256 of NAME's token: `lepton tokens create NAME FILE` writes them.",
    )
