"""The commands that start, stop and look at the stack on this machine: up, down, status."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    console,
    format_duration_s,
    home_option,
    json_option,
    own_home_option,
    print_json,
    print_note,
    print_table,
    style_state,
)

if TYPE_CHECKING:
    from lepton_ai.local.containers.engine import Engine
    from lepton_ai.local.containers.mode import Wanted
    from lepton_ai.local.containers.stack import ContainerOptions
    from lepton_ai.local.processes.lifecycle import StackOptions
    from lepton_ai.local.processes.observation import ProcessHealth, StackHealth
    from lepton_ai.local.stack import StackState

_STATUS_COLUMNS = (
    Column("process"),
    Column("state"),
    Column("pid", "right"),
    Column("up for", "right"),
    Column("restarts", "right"),
    Column("address"),
)
_URL_LABELS = {
    "inference": "predictions (gRPC, also Open Inference Protocol)",
    "registry": "models (gRPC)",
    "health": "status (gRPC)",
    "console": "the web console, in a browser",
    "traces": "traces, in a browser",
    "otlp": "send your own spans here (OTLP over gRPC)",
}


@click.command()
@click.option(
    "--mode",
    type=click.Choice(["auto", "local", "docker"]),
    default="auto",
    show_default=True,
    help="Processes on this machine, or containers. auto: what is up, else containers if a Docker engine answers.",
)
@click.option("--preprocess", type=click.IntRange(1, 64), help="Preprocess replicas.  [default: 1]")
@click.option("--inference", type=click.IntRange(1, 16), help="Inference replicas, each with its Triton.  [default: 1]")
@click.option(
    "--inference-workers",
    type=click.IntRange(1, 64),
    help="Processes of each inference replica, on one port and one Triton.  [default: 1]",
)
@click.option("--port", "ports", multiple=True, metavar="NAME=N", help="Use this port, for instance inference=9000.")
@click.option("--any-ports", is_flag=True, help="Take any free ports, not the usual ones.")
@click.option(
    "--trace-ratio", type=click.FloatRange(0, 1), help="Share of requests traced.  [default: 1.0, or deploy/.env]"
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(1, 3600), help="Seconds to wait.  [default: 120, containers 180]"
)
@own_home_option
@json_option
def up(
    *,
    home: Path,
    as_json: bool,
    mode: Wanted,
    preprocess: int | None,
    inference: int | None,
    inference_workers: int | None,
    ports: tuple[str, ...],
    **choices: Any,
) -> None:
    """Start the platform on this machine and wait until it is ready.

    With a Docker engine it runs in containers (deploy/docker-compose.yml), else as processes of yours under a
    supervisor; both restart what dies, and both listen on 127.0.0.1 only. Running it again when it is up only checks
    that all is well.

    \b
    Examples:
      lepton up
      lepton up --mode local
      lepton up --preprocess 4
      lepton up --inference-workers 2
      lepton up --port inference=9000 --port traces=9001
    """
    from lepton_ai.local.containers.mode import choose_mode, find_deploy
    from lepton_ai.local.stack import read_state

    recorded = read_state(home)
    choice = choose_mode(mode, recorded.mode if recorded else None, deploy=find_deploy())
    if choice.why and not as_json:
        print_note(choice.why)
    replicas = {"preprocess": preprocess, "inference": inference}
    chosen = {part: count for part, count in replicas.items() if count is not None}
    workers = {} if inference_workers is None else {"inference": inference_workers}
    if choice.engine is None:
        _bring_up(home, _options(chosen, workers, ports, **choices), as_json=as_json)
    else:
        options = _container_options(chosen, workers, ports, **choices)
        _bring_up_containers(home, choice.engine, options, as_json=as_json)


def _options(replicas: dict[str, int], workers: dict[str, int], ports: tuple[str, ...], **choices: Any) -> StackOptions:
    from lepton_ai.local.processes.lifecycle import START_TIMEOUT_S, StackOptions
    from lepton_ai.local.programs.ports import parse_fixed

    ratio, timeout_s = choices["trace_ratio"], choices["timeout_s"]
    return StackOptions(
        replicas=replicas,
        workers=workers,
        ports=parse_fixed(ports),
        usual_ports=not choices["any_ports"],
        trace_ratio=1.0 if ratio is None else ratio,
        timeout_s=START_TIMEOUT_S if timeout_s is None else timeout_s,
    )


def _container_options(
    replicas: dict[str, int], workers: dict[str, int], ports: tuple[str, ...], **choices: Any
) -> ContainerOptions:
    from lepton_ai.errors import Unsupported
    from lepton_ai.local.containers.plan import PlanOptions
    from lepton_ai.local.containers.stack import START_TIMEOUT_S, ContainerOptions
    from lepton_ai.local.programs.ports import parse_fixed

    if replicas.pop("inference", 1) != 1:
        raise Unsupported(
            "In containers there is one inference replica: each needs a Triton of its own.",
            fix="Leave out --inference, or use --mode local.",
        )
    plan = PlanOptions(
        parse_fixed(ports),
        usual_ports=not choices["any_ports"],
        trace_ratio=choices["trace_ratio"],
        inference_workers=workers.get("inference"),
    )
    timeout_s = choices["timeout_s"]
    return ContainerOptions(plan, replicas, timeout_s=START_TIMEOUT_S if timeout_s is None else timeout_s)


def _bring_up_containers(home: Path, engine: Engine, options: ContainerOptions, *, as_json: bool) -> None:
    from lepton_ai.cli.containers import ContainerDisplay, stack_in_containers
    from lepton_ai.local.containers.stack import ComposeFailed, ContainerFailed

    stack = stack_in_containers(home, engine)
    before = stack.read_running()
    display = ContainerDisplay(silent=as_json or before is not None)
    try:
        with display:
            state = stack.bring_up(options, display)
    except (ComposeFailed, ContainerFailed) as error:
        if not as_json:
            _print_tail(error.process, error.log_tail)
        raise
    except KeyboardInterrupt:
        print_note("Containers that were being started go on: see `lepton status`, or stop them with `lepton down`.")
        raise
    _print_up(state, elapsed_s=display.elapsed_s, was_up=before is not None, as_json=as_json)


def _bring_up(home: Path, options: StackOptions, *, as_json: bool) -> None:
    from lepton_ai.cli.startup import StartupDisplay
    from lepton_ai.local.processes.lifecycle import ProcessFailed, Stack

    stack = Stack(home)
    before = stack.read_running()
    display = StartupDisplay(silent=as_json or before is not None)
    try:
        with display:
            state = stack.bring_up(options, observe=display.observe)
    except ProcessFailed as error:
        if not as_json:
            _print_tail(error.process, error.log_tail)
        raise
    except KeyboardInterrupt:
        print_note("The stack goes on starting: see `lepton status`, or stop it with `lepton down`.")
        raise
    _print_up(state, elapsed_s=display.elapsed_s, was_up=before is not None, as_json=as_json)


def _print_up(state: StackState, *, elapsed_s: float, was_up: bool, as_json: bool) -> None:
    if as_json:
        print_json({**_summary(state), "already_up": was_up, "ready_after_s": round(elapsed_s, 3)})
        return
    how = (
        f"The stack is already up, for {format_duration_s(time.time() - state.started_at)}, and ready."
        if was_up
        else f"The stack is ready after {elapsed_s:.1f} s."
    )
    print_note(f"[green]{how}[/green]")
    _print_addresses(state)


def _summary(state: StackState) -> dict[str, Any]:
    return {"mode": state.mode, "started_at": state.started_at, "addresses": dict(state.addresses)}


def _print_tail(process: str, lines: tuple[str, ...]) -> None:
    out = console(stderr=True)
    out.print(f"[bold]The last lines of {process}:[/bold]")
    for line in lines:
        out.print(f"  {line}", markup=False)


def _print_addresses(state: StackState) -> None:
    rows = [(name, state.addresses[name], label) for name, label in _URL_LABELS.items() if name in state.addresses]
    print_table((Column("part", style="bold"), Column("address", style="cyan"), Column("what for", style="dim")), rows)


@click.command()
@click.option("--wipe", is_flag=True, help="Also delete all models, traces and logs of this stack.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@own_home_option
@json_option
def down(*, home: Path, as_json: bool, wipe: bool, yes: bool) -> None:
    """Stop everything that up started. Models and traces stay, unless --wipe is given.

    Requests in flight are finished first. Fine when nothing runs.

    \b
    Examples:
      lepton down
      lepton down --wipe
    """
    from lepton_ai.local.processes.run_directory import RunDirectory
    from lepton_ai.local.stack import read_state

    state = read_state(home)
    # After `down`, volumes of containers are still there to be wiped.
    in_containers = state.mode == "docker" if state else wipe and RunDirectory(home).compose.is_dir()
    if wipe and not yes:
        where = "the volumes of these containers" if in_containers else str(home)
        click.confirm(f"Delete all models, traces and logs in {where}?", abort=True, err=True)
    started = time.monotonic()
    stopped = (_take_down_containers if in_containers else _take_down)(home, wipe=wipe)
    things = "containers" if in_containers else "processes"
    if as_json:
        print_json({f"stopped_{things}": stopped, "wiped": wipe})
        return
    what = f"Stopped {stopped} {things} in {time.monotonic() - started:.1f} s." if stopped else _nothing_ran(home)
    print_note(what + (" All data was deleted." if wipe else ""))


def _nothing_ran(home: Path) -> str:
    from lepton_ai.local.running import running_homes

    others = [f"`lepton down --home {each}`" for each in running_homes() if each != home.absolute()]
    return "Nothing was running." + (f" To stop what runs elsewhere: {', '.join(others)}." if others else "")


def _take_down(home: Path, *, wipe: bool) -> int:
    from lepton_ai.local.processes.lifecycle import Stack

    return Stack(home).take_down(wipe=wipe)


def _take_down_containers(home: Path, *, wipe: bool) -> int:
    from lepton_ai.cli.containers import stack_in_containers

    with console(stderr=True).status("Stopping the containers"):
        return stack_in_containers(home).take_down(wipe=wipe)


@click.command()
@home_option
@json_option
@click.pass_context
def status(ctx: click.Context, *, home: Path, as_json: bool) -> None:
    """What runs, where, since when, and how often it restarted.

    Exits 0 when everything is ready and 1 when something is not, the disk is nearly full, or nothing runs.

    \b
    Examples:
      lepton status
      lepton status --json | jq .addresses.inference
    """
    from lepton_ai.local.processes.observation import read_health
    from lepton_ai.local.processes.run_directory import RunDirectory
    from lepton_ai.local.running import stack_is_down
    from lepton_ai.local.stack import read_state

    state = read_state(home)
    if state is None:
        if as_json:
            print_json({"mode": None, "ready": False, "processes": []})
        else:
            console(stderr=True).print(str(stack_is_down(home)), markup=False)
        ctx.exit(1)
    if state.mode == "docker":
        from lepton_ai.cli.containers import print_status

        ctx.exit(0 if print_status(home, as_json=as_json) else 1)
    health = read_health(RunDirectory(home), state)
    if as_json:
        rows = [_describe(process) for process in health.processes]
        words = {"ready": health.ready, "supervised": health.supervised, "problems": list(health.problems)}
        print_json({**_summary(state), **words, "processes": rows})
    else:
        _print_health(health)
    ctx.exit(0 if health.ready and not health.problems else 1)


def _describe(health: ProcessHealth) -> dict[str, Any]:
    status = health.status
    return {
        "name": health.process.name,
        "part": health.process.part,
        "state": health.state,
        "pid": status.pid if status else None,
        "uptime_s": round(status.uptime_s, 1) if status else 0.0,
        "restarts": max(0, status.starts - 1) if status else 0,
        "address": health.process.address,
        "worker_addresses": list(health.process.worker_addresses),
    }


def _print_health(health: StackHealth) -> None:
    rows = []
    for row in map(_describe, health.processes):
        uptime = format_duration_s(row["uptime_s"]) if row["pid"] else "–"
        rows.append(
            (row["name"], style_state(row["state"]), row["pid"] or "–", uptime, row["restarts"], row["address"])
        )
        rows += [
            (f"  worker {number}", "", "", "", "", address)
            for number, address in enumerate(row["worker_addresses"], start=1)
        ]
    print_table(_STATUS_COLUMNS, rows)
    for problem in health.problems:
        print_note(f"[red]•[/red] {problem}")
