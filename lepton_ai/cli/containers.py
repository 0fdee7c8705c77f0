"""How up, down, status and logs look when the platform runs in containers."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from lepton_ai.cli.output import (
    Column,
    console,
    format_duration_s,
    json_text,
    print_json,
    print_table,
    style_state,
)
from lepton_ai.cli.startup import StartupDisplay, StartupRow
from lepton_ai.errors import NotFound
from lepton_ai.local.containers.engine import Engine, find_engine
from lepton_ai.local.containers.listing import Container
from lepton_ai.local.containers.mode import choose_mode, find_deploy
from lepton_ai.local.containers.stack import ContainerStack
from lepton_ai.local.processes.table import part_of

if TYPE_CHECKING:
    from rich.status import Status

    from lepton_ai.local.containers.compose import Project
    from lepton_ai.local.stack import StackState

_STATUS_COLUMNS = (
    Column("container"),
    Column("state"),
    Column("health"),
    Column("up for", "right"),
    Column("restarts", "right"),
    Column("address"),
)
# Compose 1 with the old builder, and BuildKit.
_BUILDING = re.compile(r"^Building (?P<old>\S+)$|^#\d+ \[(?P<new>\S+) ")
_LOG_LINE = re.compile(r"^(?P<name>\S+)\s*\| ?(?P<line>.*)$")


class ContainerDisplay:
    """Shows a start in containers: the current step with what its program says, then the containers."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._out = console(stderr=True)
        self._startup: StartupDisplay | None = None
        self._status: Status | None = None
        self._title = ""
        self._step_began = time.monotonic()
        self._built: set[str] = set()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_step(done=error is None)
        if self._startup is not None:
            self._startup.__exit__(kind, error, trace)

    @property
    def elapsed_s(self) -> float:
        """Since the display was made."""
        return time.monotonic() - self._began

    def step(self, title: str) -> None:
        """Show what begins now."""
        self._end_step(done=True)
        self._title, self._step_began = title, time.monotonic()
        if self._silent:
            return
        if self._out.is_terminal:
            self._status = self._out.status(title)
            self._status.start()
        else:
            self._out.print(f"{title} …", markup=False)

    def line(self, text: str) -> None:
        """Show, dimmed beside the step, what its program says; without a terminal only which image is built."""
        from rich.text import Text

        if self._status is not None:
            room = max(20, self._out.width - len(self._title) - 8)
            self._status.update(Text.assemble(self._title, ("  " + text[:room], "dim")))
        elif not self._silent:
            found = _BUILDING.match(text)
            name = (found["old"] or found["new"]) if found else ""
            if name and name not in self._built and name != "internal]":
                self._built.add(name)
                self._out.print(f"  {name}", markup=False)

    def note(self, text: str) -> None:
        """Show a line that stays. It comes instead of the step's result."""
        self._end_step(done=False)
        if not self._silent:
            self._out.print(text, markup=False, style="dim")

    def containers(self, containers: tuple[Container, ...]) -> None:
        """Show how the containers are."""
        if self._startup is None:
            self._end_step(done=True)
            self._startup = StartupDisplay(silent=self._silent)
            self._startup.__enter__()
        self._startup.show(
            [StartupRow(each.name, each.state, each.is_ready, each.address, each.restarts + 1) for each in containers]
        )

    def _end_step(self, *, done: bool) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
            if done:
                duration = format_duration_s(time.monotonic() - self._step_began)
                self._out.print(f"[green]✓[/green] {self._title} [dim]{duration}[/dim]")


def stack_in_containers(home: Path, engine: Engine | None = None) -> ContainerStack:
    """The platform of this run directory, recorded as up in docker mode. Raises as `choose_mode` does."""
    deploy = find_deploy()
    if engine is None or deploy is None:
        engine = choose_mode("auto", "docker", deploy=deploy, find=find_engine).engine
    assert engine is not None  # noqa: S101 - docker mode has one
    assert deploy is not None  # noqa: S101 - as choose_mode has just checked
    return ContainerStack(home, deploy, engine)


def recorded_project(stack: ContainerStack) -> tuple[StackState, Project]:
    """What is recorded as up. Raises NotFound when nothing is any more."""
    recorded = stack.read_recorded()
    if recorded is None:
        raise NotFound("No platform in containers is recorded here.", fix="Start one with `lepton up`.")
    return recorded


def print_status(home: Path, *, as_json: bool) -> bool:
    """Print how each container is; returns whether all are ready."""
    stack = stack_in_containers(home)
    state, project = recorded_project(stack)
    containers = stack.read_containers(project)
    is_ready = bool(containers) and all(container.is_ready for container in containers)
    if as_json:
        rows = [_describe(container) for container in containers]
        summary = {"mode": state.mode, "started_at": state.started_at, "addresses": dict(state.addresses)}
        print_json({**summary, "project": project.name, "ready": is_ready, "containers": rows})
        return is_ready
    print_table(_STATUS_COLUMNS, [_cells(container) for container in containers])
    if not containers:
        click.echo("The containers are gone. `lepton up` makes them again; models are kept.", err=True)
    return is_ready


def _describe(container: Container) -> dict[str, Any]:
    return {
        "name": container.name,
        "part": container.service,
        "state": container.state,
        "status": container.status,
        "health": container.health or None,
        "uptime_s": round(_uptime_s(container), 1),
        "restarts": container.restarts,
        "address": container.address or None,
    }


def _cells(container: Container) -> Sequence[object]:
    uptime = format_duration_s(_uptime_s(container)) if container.is_running else "–"
    health = container.health or "–"
    return (
        container.name,
        style_state(container.state),
        style_state(health),
        uptime,
        container.restarts,
        container.address or "–",
    )


def _uptime_s(container: Container) -> float:
    return max(0.0, time.time() - container.started_at) if container.is_running else 0.0


def print_logs(home: Path, names: tuple[str, ...], *, lines: int, follow: bool, as_json: bool) -> None:
    """Hand on what Compose prints of the containers' logs, by container or service name; default all."""
    stack = stack_in_containers(home)
    _, project = recorded_project(stack)
    services = _services(names, stack.read_containers(project))
    colour = not as_json and sys.stdout.isatty()
    command = project.logs(services, lines=lines, follow=follow, colour=colour)
    if not as_json:
        sys.stdout.flush()
        subprocess.run(command, env=project.environment(), check=False)
        return
    with subprocess.Popen(command, env=project.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            if found := _LOG_LINE.match(line.rstrip("\n")):
                row = {"process": found["name"].replace("_", "-"), "line": found["line"]}
                click.echo(json_text(row))


def _services(names: Sequence[str], containers: Sequence[Container]) -> tuple[str, ...]:
    known = {container.name: container.service for container in containers}
    known |= {container.service: container.service for container in containers}
    for name in names:
        if name not in known:
            raise NotFound(f"There is no container {name!r}.", fix=f"Choose from: {', '.join(sorted(known))}.")
    return tuple(dict.fromkeys(part_of(known[name]) for name in names))
