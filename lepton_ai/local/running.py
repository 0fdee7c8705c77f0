"""Which of this user's stacks run, and which one is meant where none was started."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from lepton_ai.errors import FailedPrecondition, LeptonError, NotFound
from lepton_ai.local.known_homes import forget_home, known_homes
from lepton_ai.local.stack import STATE_NAME, StackState, find_home, read_state

_CONNECT_TIMEOUT_S = 0.5


def running_homes(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The run directories of this user's stacks that run now, whatever folder they were started from."""
    found = []
    for home in known_homes(environ):
        try:
            state = read_state(home)
        except LeptonError:  # it is somebody else's by now, or of another version of Lepton
            continue
        if state is None:
            forget_home(home, environ)
        elif _answers(state):
            found.append(home)
    return found


def choose_home(start: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The run directory that a command given in `start` means: that of the nearest stack upwards, else that of the only
    stack that runs, else `.lepton`.

    Raises FailedPrecondition when several run, none of them from here.
    """
    nearest = find_home(start)
    if (nearest / STATE_NAME).is_file():
        return nearest
    homes = running_homes(environ)
    if len(homes) > 1:
        raise FailedPrecondition(
            f"Several stacks run, none of them from this folder: {_listed(homes)}.",
            reason="SEVERAL_STACKS",
            fix=f"Name one: LEPTON_HOME={homes[0]}, or --home.",
        )
    return homes[0] if homes else nearest


def meant_home(environ: Mapping[str, str] = os.environ) -> Path:
    """LEPTON_HOME, else what `choose_home` finds from the current folder. Raises FailedPrecondition as that does."""
    return Path(environ["LEPTON_HOME"]) if environ.get("LEPTON_HOME") else choose_home(Path.cwd(), environ)


def stack_is_down(home: Path, environ: Mapping[str, str] = os.environ) -> NotFound:
    """The error for a run directory where no stack runs; it names those that do."""
    named = environ.get("LEPTON_HOME", "")
    where = f"LEPTON_HOME={named}" if named and Path(named).absolute() == home.absolute() else str(home)
    others = [each for each in running_homes(environ) if each != home.absolute()]
    runs = f" {'This one runs' if len(others) == 1 else 'These run'}: {_listed(others)}." if others else ""
    use = f" or use one that runs: LEPTON_HOME={others[0]}" if others else ""
    start = "Start it with `lepton up`," if use else "Start it with `lepton up`"
    return NotFound(f"The stack is down ({where}).{runs}", reason="STACK_DOWN", fix=f"{start}{use}.")


def _listed(homes: Sequence[Path]) -> str:
    return ", ".join(str(home) for home in homes)


def _answers(state: StackState) -> bool:
    """Whether the supervisor of a local stack listens; in containers, whether the inference service does."""
    with contextlib.suppress(OSError, ValueError):
        if state.mode == "local":
            with socket.socket(socket.AF_UNIX) as supervisor:
                supervisor.settimeout(_CONNECT_TIMEOUT_S)
                supervisor.connect(state.supervisor_socket)
            return True
        host, _, port = state.addresses.get("inference", "").split(",")[0].rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S):
            return True
    return False
