"""Files with a random secret each, which only the user who made them can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_MODE = 0o600


def ensure_secret(path: Path) -> Path:
    """The file, after writing a new secret into it if it has none. Its folder must exist and be closed to others."""
    if path.is_file() and read_secret_file(path):
        path.chmod(_MODE)
        return path
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE), "w", encoding="ascii") as file:
        file.write(f"{secrets.token_urlsafe(32)}\n")
    return draft.replace(path)


def read_secret_file(path: Path) -> str:
    """The secret in a file that `ensure_secret` made."""
    return path.read_text(encoding="ascii").strip()
