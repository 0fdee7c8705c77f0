"""`lepton rollout` and `lepton rollback`: new versions that come into production step by step, and the way back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    console,
    format_duration_s,
    home_option,
    json_option,
    make_table,
    print_json,
    print_note,
    print_table,
    style_state,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.client import Client
    from lepton_ai.client.control.rollouts import Action
    from lepton_ai.v1.registry_pb2 import Rollout as RolloutMessage

_POLL_S = 0.5
_BAR_WIDTH = 30
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_UNDER_WAY = ("waiting", "running", "paused", "held")
_OUTCOME_STYLES = {"harm": "bold red", "fine": "green", "inconclusive": "yellow"}


class Duration(click.ParamType[float]):
    """60s, 5m, 1h, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value))
        if found is None or found[2] not in _SECONDS:
            self.fail(f"{value!r} is no duration, such as 60s, 5m or 1h.", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


class Percents(click.ParamType[tuple[float, ...]]):
    """5%,25%,50%."""

    name = "percents"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(each.strip().removesuffix("%")) for each in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} are no percents, such as 5%,25%,50%.", param, ctx)


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
        print_table([Column(title) for title in titles], [_row(each) for each in found])
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
        console().print(_view(newest))


@rollout.command(epilog="Example: lepton rollout explain resnet")
@click.argument("model")
@json_option
@home_option
def explain(model: str, *, as_json: bool, home: Path) -> None:
    """Say why the newest rollout of MODEL is where it is: every gate, with its numbers."""
    with client_for(home) as client:
        newest = _newest(client, model)
    if as_json:
        print_json(document(newest))
        return
    out = console()
    out.print(_view(newest))
    for gate in newest.verdict.gates:
        if gate.numbers:
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in sorted(gate.numbers.items()))
            out.print(f"{gate.gate}: {numbers}", highlight=False)


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
@json_option
@home_option
def rollback(model: str, *, as_json: bool, home: Path) -> None:
    """Give the traffic of MODEL back to the version that had it before.

    During a rollout, and until its bake time ends, that version is still loaded: it takes effect at once.
    """
    with client_for(home) as client:
        deployment = client.rollback(model)
    if as_json:
        print_json({"model": deployment.model, "version": deployment.version, "generation": deployment.generation})
        return
    click.echo(f"{deployment.model} version {deployment.version} has the traffic again.")


def follow_rollout(client: Client, model: str) -> RolloutMessage:
    """Show the rollout of a model until it is decided: live on a terminal, a line for each change elsewhere."""
    from rich.live import Live

    out = console(stderr=True)
    if not out.is_terminal:
        return _each_change(client, model, lambda current: print_note(summary(current)))
    with Live(_view(_newest(client, model)), console=out, refresh_per_second=4) as live:
        return _each_change(client, model, lambda current: live.update(_view(current)), every_look=True)


def document(message: RolloutMessage) -> dict[str, Any]:
    """A rollout for programs. Shares are percents."""
    return {
        "id": message.id,
        "model": message.model,
        "version": message.version,
        "old_version": message.old_version,
        "state": state_of(message),
        "share_percent": message.share / 100,
        "step": message.step + 1,
        "steps_percent": [share / 100 for share in message.plan.shares],
        "step_s": message.plan.step_s,
        "step_passed_s": round(message.step_passed_s, 3),
        "bake_s": message.plan.bake_s,
        "baking": message.baking,
        "reason": message.reason,
        "verdict": _verdict_document(message),
        "actor": message.actor,
        "started_at": message.started_at.ToJsonString(),
        "changed_at": message.changed_at.ToJsonString(),
    }


def _verdict_document(message: RolloutMessage) -> dict[str, Any] | None:
    if not message.HasField("verdict"):
        return None
    verdict = message.verdict
    gates = [
        {
            "gate": gate.gate,
            "outcome": _outcome_of(gate.outcome),
            "sentence": gate.sentence,
            "numbers": dict(gate.numbers),
        }
        for gate in verdict.gates
    ]
    return {"outcome": _outcome_of(verdict.outcome), "sentence": verdict.sentence, "gates": gates}


def _outcome_of(outcome: Any) -> str:
    from lepton_ai.v1 import registry_pb2

    return registry_pb2.VerdictOutcome.Name(outcome).removeprefix("VERDICT_OUTCOME_").lower()


def state_of(message: RolloutMessage) -> str:
    """Its state as a word."""
    from lepton_ai.v1 import registry_pb2

    return registry_pb2.RolloutState.Name(message.state).removeprefix("ROLLOUT_STATE_").lower()


def summary(message: RolloutMessage) -> str:
    """A rollout in one line."""
    state, reason = state_of(message).replace("_", " "), f": {message.reason}" if message.reason else ""
    return f"{message.model} version {message.version} (from {message.old_version}) is {state}{reason}."


def _newest(client: Client, model: str) -> RolloutMessage:
    found = client.rollouts(model)
    if not found:
        raise click.ClickException(f"There was no rollout of {model} yet.")
    return found[0]


def _each_change(
    client: Client, model: str, show: Callable[[RolloutMessage], None], *, every_look: bool = False
) -> RolloutMessage:
    last = ""
    for current in _looks(client, model):
        if every_look or summary(current) != last:
            show(current)
        last = summary(current)
        if state_of(current) not in _UNDER_WAY:
            break
    return current


def _looks(client: Client, model: str) -> Iterator[RolloutMessage]:
    while True:
        yield _newest(client, model)
        time.sleep(_POLL_S)


def _row(message: RolloutMessage) -> tuple[object, ...]:
    started = message.started_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    state = state_of(message)
    return (
        message.model,
        message.version,
        message.old_version,
        style_state(state),
        f"{message.share / 100:g} %",
        started,
        message.reason,
    )


def _view(message: RolloutMessage) -> Any:
    from rich.console import Group
    from rich.text import Text

    from lepton_ai.client.control.rollouts import WHOLE

    state = state_of(message)
    filled = round(message.share / WHOLE * _BAR_WIDTH)
    bar = Text("█" * filled, style="green") + Text("░" * (_BAR_WIDTH - filled), style="dim")
    rows: list[tuple[object, object]] = [
        ("Version", f"{message.version}, from {message.old_version}"),
        ("State", style_state(state)),
        ("Traffic", bar + Text(f" {message.share / 100:g} %")),
        ("Steps", " → ".join(f"{share / 100:g} %" for share in (*message.plan.shares, WHOLE))),
    ]
    if state == "running":
        left_s = max(0.0, message.plan.step_s - message.step_passed_s)
        rows.append(("Next step in", format_duration_s(left_s)))
    elif message.baking:
        left_s = max(0.0, message.plan.bake_s - message.step_passed_s)
        rows.append(("Old version leaves in", format_duration_s(left_s)))
    parts = [Text(message.model, style="bold"), make_table([Column(""), Column("")], rows, framed=False)]
    if message.reason:
        parts.append(Text(f"Why: {message.reason}"))  # not in the table, whose columns it would squeeze
    if message.HasField("verdict"):
        parts += [Text(""), _gates(message)]
    return Group(*parts)


def _gates(message: RolloutMessage) -> Any:
    from rich.text import Text

    rows = []
    for gate in message.verdict.gates:
        outcome = _outcome_of(gate.outcome)
        rows.append((gate.gate, Text(outcome, style=_OUTCOME_STYLES.get(outcome, "dim")), gate.sentence))
    return make_table([Column("Gate"), Column("Outcome"), Column("What is known")], rows, framed=console().is_terminal)
