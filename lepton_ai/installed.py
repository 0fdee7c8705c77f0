"""Where packages of Python lie that others ship their files in: found, never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from lepton_ai.errors import FailedPrecondition


def package_folder(name: str) -> Path | None:
    """The folder of an installed top-level package, which is not imported for that."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def need(name: str, what: str) -> None:
    """Check that a package is installed without which `what` ("A package") cannot be checked or run.

    Raises FailedPrecondition that says how to install it.
    """
    if find_spec(name) is None:
        raise FailedPrecondition(
            f"{what} needs {name}, which is not installed here.",
            reason="NOT_INSTALLED",
            fix=f"Install it: pip install {name}",
        )
