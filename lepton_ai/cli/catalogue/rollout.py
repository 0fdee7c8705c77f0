"""`lepton rollout` and `lepton rollback`: new versions that come into production step by step, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
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
from lepton_ai.references import format_form

if TYPE_CHECKING:
    from rich.text import Text

    from lepton_ai.client import Client
    from lepton_ai.client.control.deployments import Deployment
    from lepton_ai.client.control.rollouts import Action
    from lepton_ai.v1.registry_pb2 import Rollout as RolloutMessage

_POLL_S = 0.5
_BAR_WIDTH = 30
_EVIDENCE_WIDTH = 12
_UNDER_WAY = ("waiting", "running", "paused", "held")
_OUTCOME_STYLES = {"harm": "bold red", "fine": "green", "inconclusive": "yellow"}


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
    if newest.HasField("verdict"):
        out.print("\nEvidence of harm; at the right end of its bar a gate takes the version back.", highlight=False)
        out.print(_evidence(newest))


def _evidence(message: RolloutMessage) -> Any:
    from rich.text import Text

    rows = []
    for gate in message.verdict.gates:
        log, threshold = gate.numbers.get("log_evidence"), gate.numbers.get("log_threshold")
        part = max(log, 0.0) / threshold if log is not None and threshold else 0.0
        bar = _bar(part, "red" if part >= 1 else "yellow", _EVIDENCE_WIDTH) if threshold else Text("")
        rows.append((gate.gate, bar, _in_words(gate.numbers)))
    return make_table([Column("Gate"), Column("Harm"), Column("Numbers")], rows, framed=console().is_terminal)


def _in_words(numbers: Mapping[str, float]) -> str:
    """What a gate's verdict rests on; all digits are in --json."""
    told = []
    if "samples" in numbers:
        told.append(f"{numbers['samples']:,.0f} answers beside {numbers.get('compared_with', 0):,.0f}")
    if "excess" in numbers:
        told.append(f"worse by {numbers['excess']:.1%}, of which {numbers['margin']:.0%} are allowed")
    if "log_threshold" in numbers:
        log = max(numbers["log_evidence"], 0.0)
        told.append(f"evidence {log:.1f} of {numbers['log_threshold']:.1f}")
    if "value" in numbers:
        told.append(f"{numbers['value']:.4g} beside {numbers['threshold']:.4g}")
    return "; ".join(told)


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
    with Live(_view(_newest(client, model)), console=out, refresh_per_second=4) as live:
        return _each_change(client, model, lambda current: live.update(_view(current)), is_watched=True)


def document(message: RolloutMessage) -> dict[str, Any]:
    """A rollout for programs. Shares are percents."""
    return {
        "id": message.id,
        "model": message.model,
        "version": message.version,
        "old_version": message.old_version,
        "variant": message.variant,
        "old_variant": message.old_variant,
        "state": state_of(message),
        "share_percent": message.share / 100,
        "step": message.step + 1,
        "steps_percent": [share / 100 for share in message.plan.shares],
        "shadow_percent": message.plan.shadow / 100,
        "sticky_by": message.plan.sticky_by,
        "metrics": [f"{each.name}: {each.query} {each.comparison} {each.threshold:g}" for each in message.plan.metrics],
        "margins": dict(message.plan.margins),
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
    state, reason = state_of(message).replace("_", " "), f": {message.reason.rstrip('.')}" if message.reason else ""
    new, old = _forms(message)
    return f"{message.model} version {new} (from {old}) is {state}{reason}."


def _forms(message: RolloutMessage) -> tuple[str, str]:
    """What it goes to and where it comes from: "3+int8", "3"."""
    new = format_form(message.version, message.variant)
    return new, format_form(message.old_version, message.old_variant)


def _newest(client: Client, model: str) -> RolloutMessage:
    found = client.rollouts(model)
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
    plan = message.plan
    is_decided_by_people = bool(plan.sticky_by) or not plan.shares
    return is_decided_by_people and state_of(message) == "held"


def _row(message: RolloutMessage) -> tuple[object, ...]:
    started = message.started_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    state = state_of(message)
    return (
        message.model,
        *_forms(message),
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
    bar = _bar(message.share / WHOLE, "green", _BAR_WIDTH)
    rows: list[tuple[object, object]] = [
        ("Version", ", from ".join(_forms(message))),
        ("State", style_state(state)),
        ("Traffic", bar + Text(f" {message.share / 100:g} %")),
        ("Steps", " → ".join(_steps(message))),
    ]
    if message.plan.sticky_by:
        rows.append(("Sticky by", f"routing key, else {message.plan.sticky_by}"))
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


def _steps(message: RolloutMessage) -> Iterator[str]:
    plan = message.plan
    if plan.shadow:
        yield f"copies of {plan.shadow / 100:g} %"
    yield from (f"{share / 100:g} %" for share in plan.shares)
    yield "you decide" if plan.sticky_by or not plan.shares else "100 %"


def _bar(part: float, style: str, width: int) -> Text:
    from rich.text import Text

    filled = round(min(max(part, 0.0), 1.0) * width)
    return Text("█" * filled, style=style) + Text("░" * (width - filled), style="dim")


def _gates(message: RolloutMessage) -> Any:
    from rich.text import Text

    rows = []
    for gate in message.verdict.gates:
        outcome = _outcome_of(gate.outcome)
        rows.append((gate.gate, Text(outcome, style=_OUTCOME_STYLES.get(outcome, "dim")), gate.sentence))
    return make_table([Column("Gate"), Column("Outcome"), Column("What is known")], rows, framed=console().is_terminal)
