"""Where packages of Python lie that others ship their files in: found, never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def package_folder(name: str) -> Path | None:
    """The folder of an installed top-level package, which is not imported for that."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None
