"""Files with a random secret each, which only the user who made them can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_MODE = 0o600


def ensure_secret(path: Path) -> str:
    """The secret in the file; a new one when there is none. Its folder is there and closed to others."""
    if path.is_file() and (known := path.read_text(encoding="ascii").strip()):
        path.chmod(_MODE)
        return known
    secret = secrets.token_urlsafe(32)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE), "w", encoding="ascii") as file:
        file.write(f"{secret}\n")
    draft.replace(path)
    return secret
