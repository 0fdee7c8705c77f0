"""Where the run directories of this user's stacks are: a small file for each, so that any folder finds them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path


def homes_folder(environ: Mapping[str, str]) -> Path:
    """The folder of these files: that of the user's state, as the XDG base directories have it."""
    base = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "lepton" / "stacks"


def remember_home(home: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Note a run directory. Where the user's state cannot be written, LEPTON_HOME finds the stack all the same."""
    entry = _entry(home, environ)
    with contextlib.suppress(OSError, RuntimeError):
        entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = entry.with_suffix(f".{os.getpid()}")
        draft.write_text(str(home.absolute()), encoding="utf-8", errors="surrogateescape")
        draft.replace(entry)


def forget_home(home: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Note that nothing runs there any more."""
    with contextlib.suppress(OSError, RuntimeError):
        _entry(home, environ).unlink(missing_ok=True)


def known_homes(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """All run directories that were noted, whether anything runs there or not."""
    homes: list[Path] = []
    with contextlib.suppress(OSError, RuntimeError):  # there is no such folder, or this user has no home
        for entry in sorted(homes_folder(environ).glob("*.home")):
            with contextlib.suppress(FileNotFoundError):  # another command has just forgotten it
                homes.append(Path(entry.read_text(encoding="utf-8", errors="surrogateescape")))
    return homes


def _entry(home: Path, environ: Mapping[str, str]) -> Path:
    name = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:24]
    return homes_folder(environ) / f"{name}.home"
