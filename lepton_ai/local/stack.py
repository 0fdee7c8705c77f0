"""What is known about a stack on this machine: how it runs and at which addresses, read from its run state file.

Reading needs no process, no socket and no optional dependency, so that a client can find a running stack.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lepton_ai.errors import DataLoss, NotFound, PermissionDenied
from lepton_ai.local.known_homes import forget_home, remember_home

HOME_NAME = ".lepton"
STATE_NAME = "stack.json"
SECRETS_NAME = "secrets"
TOKEN_NAME = "token"  # noqa: S105 - the file's name
_FORMAT = 1

Mode = Literal["local", "docker"]


@dataclass(frozen=True)
class ProcessRecord:
    """A process that was started for the stack; its start time tells it from a later one with the same pid."""

    pid: int
    started_at: float
    """Seconds since the epoch, as the operating system tells it."""


@dataclass(frozen=True)
class ComposeRecord:
    """The Compose project that runs in docker mode: all that is needed to look at it and to stop it."""

    project: str
    files: tuple[str, ...]
    """Names in the deploy folder; each file overrides those before it."""
    variables: Mapping[str, str]
    """Choices that override deploy/.env."""


@dataclass(frozen=True)
class StackState:
    """The run state file, `stack.json`."""

    mode: Mode
    stack_id: str
    """Random; every process of a local stack carries it in its environment as LEPTON_STACK_ID."""
    started_at: float
    addresses: Mapping[str, str]
    """Part → address: host:port for gRPC (inference with all replicas, registry, health, otlp…), URLs for browsers."""
    ports: Mapping[str, int] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    """Part → processes of each replica that share its port, where that is more than one."""
    supervisor: ProcessRecord | None = None
    supervisor_socket: str = ""
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)
    """As they were when the stack became ready; a process that was restarted since has another pid."""
    compose: ComposeRecord | None = None
    """Set in docker mode."""


@dataclass(frozen=True)
class StackConnection:
    """Where a client reaches the parts of a stack. An address is empty when the stack does not have the part."""

    inference: str
    """Every replica's host:port, with commas between them."""
    registry: str
    health: str
    traces: str
    """URL of the trace page, which also answers Jaeger's query JSON under /api."""
    otlp: str
    """host:port for OTLP over gRPC."""
    console: str
    """URL of the web console."""
    token: str = field(default="", repr=False)
    """The token for changes to the registry; empty when this user may not read it."""


def find_home(start: Path) -> Path:
    """The run directory that a command given in `start` means: that of the nearest stack upwards, else `.lepton`."""
    start = start.absolute()
    for folder in (start, *start.parents):
        # A stack of another user is closed to us and cannot be meant.
        with contextlib.suppress(PermissionError):
            if (folder / HOME_NAME / STATE_NAME).is_file():
                return folder / HOME_NAME
    return start / HOME_NAME


def read_state(home: Path) -> StackState | None:
    """The recorded state, or None when no stack was started here.

    Raises DataLoss when the file is not a run state, and PermissionDenied when it is another user's and closed to us.
    """
    try:
        text = (home / STATE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise PermissionDenied(
            "The run directory of this stack belongs to another user.",
            fix="To predict with that stack, ask for its address and set LEPTON_INFERENCE_ADDRESS.",
        ) from error
    try:
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataLoss(
            "The run state file stack.json cannot be understood.",
            fix="Stop the stack with the version of Lepton that started it, or delete the file if nothing runs.",
        ) from error


def write_state(home: Path, state: StackState) -> None:
    """Record the state, also where this user's stacks are listed; a reader sees the old file or the new one."""
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f".{STATE_NAME}.new"
    draft.write_text(json.dumps({"format": _FORMAT, **asdict(state)}, indent=2, ensure_ascii=False), encoding="utf-8")
    draft.replace(home / STATE_NAME)
    remember_home(home)


def delete_state(home: Path) -> None:
    """Forget the stack, once nothing of it runs any more."""
    (home / STATE_NAME).unlink(missing_ok=True)
    forget_home(home)


def connection(home: Path) -> StackConnection:
    """Where the stack of this run directory is reached. Only reads the run state file; it does not try the addresses.

    Raises NotFound when no stack was started here.
    """
    state = read_state(home)
    if state is None:
        raise NotFound("No running stack was found here.", fix="Start one with `lepton up`, or name one with --home.")
    names = ("inference", "registry", "health", "traces", "otlp", "console")
    return StackConnection(**{name: state.addresses.get(name, "") for name in names}, token=_read_token(home))


def _read_token(home: Path) -> str:
    try:
        return (home / SECRETS_NAME / TOKEN_NAME).read_text(encoding="ascii").strip()
    except (FileNotFoundError, PermissionError):
        return ""  # reading and predicting work without


def _parse(document: Mapping[str, Any]) -> StackState:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']}")
    supervisor, compose = document.get("supervisor"), document.get("compose")
    return StackState(
        mode=document["mode"],
        stack_id=str(document["stack_id"]),
        started_at=float(document["started_at"]),
        addresses=dict(document["addresses"]),
        ports=dict(document.get("ports", {})),
        replicas=dict(document.get("replicas", {})),
        workers=dict(document.get("workers", {})),
        supervisor=ProcessRecord(**supervisor) if supervisor else None,
        supervisor_socket=document.get("supervisor_socket", ""),
        processes={name: ProcessRecord(**record) for name, record in document.get("processes", {}).items()},
        compose=ComposeRecord(compose["project"], tuple(compose["files"]), compose["variables"]) if compose else None,
    )
