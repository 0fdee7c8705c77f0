"""`lepton rollout` and `lepton rollback`: new versions that come into production step by step, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.rollout_views import (
    decisions_document,
    document,
    explanation,
    is_for_people,
    row,
    state_of,
    summary,
    view,
)
from lepton_ai.cli.output import Column, console, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.client import Client
    from lepton_ai.client.control.deployments import Deployment
    from lepton_ai.client.control.rollouts import Action
    from lepton_ai.v1.registry_pb2 import Rollout as RolloutMessage

_POLL_S = 0.5
_UNDER_WAY = ("waiting", "running", "paused", "held")


@click.group(epilog="Start one: lepton deploy resnet@5 --canary 5%,25%,50% --every 60s")
def rollout() -> None:
    """New versions that come into production step by step."""


@rollout.command("list", epilog="Examples: lepton rollout list · lepton rollout list resnet")
@click.argument("model", default="")
@json_option
@home_option
def list_rollouts(model: str, *, as_json: bool, home: Path) -> None:
    """List rollouts of all models, or of MODEL, the newest first."""
    with client_for(home) as client:
        found = client.rollouts(model)
    if as_json:
        print_json([document(each) for each in found])
    elif found:
        titles = ("Model", "Version", "From", "State", "Share", "Started", "Why")
        print_table([Column(title) for title in titles], [row(each) for each in found])
    else:
        print_note("There were no rollouts yet. Start one: lepton deploy NAME@VERSION --canary 5%,25%,50%")


@rollout.command(epilog="Examples: lepton rollout status resnet · lepton rollout status resnet --follow")
@click.argument("model")
@click.option("--follow", "-f", is_flag=True, help="Show it until it is decided.")
@json_option
@home_option
def status(model: str, *, follow: bool, as_json: bool, home: Path) -> None:
    """Show the newest rollout of MODEL."""
    with client_for(home) as client:
        newest = _newest(client, model)
        if follow:
            newest = follow_rollout(client, model)
    if as_json:
        print_json(document(newest))
    elif not follow:
        console().print(view(newest))


@rollout.command(epilog="Example: lepton rollout explain resnet")
@click.argument("model")
@json_option
@home_option
def explain(model: str, *, as_json: bool, home: Path) -> None:
    """Say why the newest rollout of MODEL is where it is: every gate, and every decision so far, with its numbers."""
    with client_for(home) as client:
        newest = _newest(client, model, decisions=True)
    if as_json:
        print_json({**document(newest), "decisions": decisions_document(newest.decisions)})
    else:
        console().print(explanation(newest), highlight=False)


def _command(action: Action, what: str) -> click.Command:
    @rollout.command(action, help=f"{what} the rollout of MODEL.", epilog=f"Example: lepton rollout {action} resnet")
    @click.argument("model")
    @json_option
    @home_option
    def run(model: str, *, as_json: bool, home: Path) -> None:
        with client_for(home) as client:
            changed = client.control_rollout(model, action)
        print_json(document(changed)) if as_json else click.echo(summary(changed))

    return run


pause = _command("pause", "Keep the shares as they are in")
resume = _command("resume", "Go on, with the present step from its beginning, with")
promote = _command("promote", "Give all traffic to the new version, now, in")
abort = _command("abort", "Give all traffic back to the old version, now, in")


@click.command(epilog="Example: lepton rollback resnet")
@click.argument("model")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait until it answers; 0: do not.")
@json_option
@home_option
def rollback(model: str, *, wait_s: float, as_json: bool, home: Path) -> None:
    """Give the traffic of MODEL back to the version that had it before.

    During a rollout, and until its bake time ends, that version is still loaded: it takes effect at once. Later it is
    loaded first, and until then calls go on as they did.
    """
    with client_for(home) as client:
        deployment = client.rollback(model, wait_s=wait_s)
    if as_json:
        print_json(deployment_document(deployment))
        return
    verb = "has" if wait_s > 0 else "will have"
    click.echo(f"{deployment.model} version {deployment.form} {verb} the traffic again.")


def deployment_document(deployment: Deployment) -> dict[str, Any]:
    """What is asked to be served, for programs."""
    document = {"model": deployment.model, "version": deployment.version, "generation": deployment.generation}
    return {**document, "variant": deployment.variant}


def follow_rollout(client: Client, model: str) -> RolloutMessage:
    """Show the rollout of a model until it is decided: live on a terminal; elsewhere a line for each change, and only
    until it is held."""
    from rich.live import Live

    out = console(stderr=True)
    if not out.is_terminal:
        return _each_change(client, model, lambda current: print_note(summary(current)), is_watched=False)
    with Live(view(_newest(client, model)), console=out, refresh_per_second=4) as live:
        return _each_change(client, model, lambda current: live.update(view(current)), is_watched=True)


def _newest(client: Client, model: str, *, decisions: bool = False) -> RolloutMessage:
    found = client.rollouts(model, limit=1, decisions=decisions)
    if not found:
        client.version(model)  # says so of a model that there is not
        raise click.ClickException(f"There was no rollout of {model} yet.")
    return found[0]


def _each_change(
    client: Client, model: str, show: Callable[[RolloutMessage], None], *, is_watched: bool
) -> RolloutMessage:
    last = None
    for current in _looks(client, model):
        now = (current.state, current.step)
        if is_watched or now != last:
            show(current)
        last = now
        state = state_of(current)
        # Nobody sees that it is held where nobody watches, and it may be held for ever.
        if state not in _UNDER_WAY or _waits_for_people(current) or (state == "held" and not is_watched):
            break
    return current


def _looks(client: Client, model: str) -> Iterator[RolloutMessage]:
    while True:
        yield _newest(client, model)
        time.sleep(_POLL_S)


def _waits_for_people(message: RolloutMessage) -> bool:
    """Whether nothing more comes by itself."""
    return is_for_people(message) and state_of(message) == "held"
