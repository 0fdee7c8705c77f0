"""Chooses how the platform runs on this machine, as containers or as processes, and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lepton_ai
from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.local.containers.engine import Engine, find_engine
from lepton_ai.local.stack import Mode

Wanted = Literal["auto", "local", "docker"]

COMPOSE_FILE = "docker-compose.yml"


@dataclass(frozen=True)
class Choice:
    """How the platform will run."""

    mode: Mode
    why: str = ""
    """A sentence for people; empty when there was nothing to choose."""
    engine: Engine | None = None
    """Set in docker mode."""


def find_deploy() -> Path | None:
    """The folder with the Compose files of this checkout; None where only the package was installed."""
    folder = Path(str(lepton_ai.__file__)).parents[1] / "deploy"
    return folder if (folder / COMPOSE_FILE).is_file() else None


def choose_mode(
    wanted: Wanted,
    recorded: Mode | None,
    *,
    deploy: Path | None,
    find: Callable[[], Engine] = find_engine,
) -> Choice:
    """What is recorded as up wins, then what is wanted, then containers where an engine answers, else processes.

    Raises FailedPrecondition when another mode is up than is wanted or there are no Compose files, and Unavailable
    when containers are wanted, or up, and no engine answers.
    """
    if recorded is not None and wanted not in ("auto", recorded):
        raise FailedPrecondition(
            f"The platform is up in {recorded} mode, not in {wanted} mode.",
            fix="Stop it with `lepton down` first; your models stay where they are. Or leave out --mode.",
        )
    settled = recorded or wanted
    if settled == "local":
        return Choice("local")
    if settled == "docker":
        if deploy is None:
            raise FailedPrecondition(
                "The Compose files are not here: the package was installed without the checkout.",
                fix="Use a checkout of Lepton, or --mode local.",
            )
        return Choice("docker", engine=find())
    return _choose_freely(deploy, find)


def _choose_freely(deploy: Path | None, find: Callable[[], Engine]) -> Choice:
    if deploy is None:
        return Choice("local", "There is no deploy/docker-compose.yml here, so the platform runs as local processes.")
    try:
        engine = find()
    except Unavailable as error:
        return Choice("local", f"{error.message.rstrip('.')}, so the platform runs as local processes.")
    return Choice("docker", f"A Docker engine ({engine.version}) answers, so the platform runs in containers.", engine)
