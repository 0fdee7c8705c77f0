"""`lepton alerts`: what is wrong, who looks after it, and who was told."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.plan_options import Duration
from lepton_ai.cli.output import (
    Column,
    format_duration_s,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
    style_state,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import RenderableType

    from lepton_ai.client import Client
    from lepton_ai.v1 import alerts_pb2 as pb
    from lepton_ai.v1.events_pb2 import TimelineEvent

_SUSPECT, _MAX_CHANGES = timedelta(minutes=30), 3
_STATES = ("pending", "firing", "resolved")
_SEVERITY_STYLES = {"page": "bold red", "ticket": "yellow", "info": "cyan"}


@click.group(
    invoke_without_command=True,
    epilog="Examples: lepton alerts · lepton alerts --fail && deploy · lepton alerts -m 'model=\"resnet\"' --json · "
    "lepton alerts ack 3f2a --comment 'on it'",
)
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Default: pending and firing.")
@click.option("--matcher", "-m", "matchers", multiple=True, help="As 'model=\"resnet\"'; all must hold.")
@click.option("--fail", is_flag=True, help="End with 1 when a page fires that nobody has silenced.")
@json_option
@home_option
@click.pass_context
def alerts(
    context: click.Context,
    *,
    states: tuple[str, ...],
    matchers: tuple[str, ...],
    fail: bool,
    as_json: bool,
    home: Path,
) -> int:
    """What is wrong now, the most urgent first."""
    if context.invoked_subcommand is not None:
        return 0
    with client_for(home) as client:
        found = client.alerts(states=states, matchers=matchers)
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        titles = ("Severity", "State", "What", "Since", "Looked after by", "Id")
        print_table([Column(title) for title in titles], [_row(each) for each in found])
    else:
        print_note("Nothing is wrong, as far as Lepton sees.")
    return 1 if fail and any(_is_unsilenced_page(each) for each in found) else 0


@alerts.command(epilog="Example: lepton alerts show 3f2a")
@click.argument("fingerprint")
@json_option
@home_option
def show(fingerprint: str, *, as_json: bool, home: Path) -> None:
    """Everything about one alert, by the beginning of its id: texts, what changed before, history, who was told."""
    with client_for(home) as client:
        found = client.alert(fingerprint)
        changes = () if as_json else changes_before(client, found.alert)
    if as_json:
        print_json(_document(found))
        return
    for line in described(found.alert, found.runbook):
        click.echo(line)
    told = [cause.text for cause in found.alert.causes]
    for change in (each for each in changes if not any(each.title in text for text in told)):
        by = f" (by {change.actor})" if change.actor else ""
        click.echo(f"Shortly before: {change.title}{by}, {_time(change.at)}")
    rows = [(_time(each.at), each.what, each.detail) for each in found.history]
    print_table([Column("When"), Column("What"), Column("Detail")], rows)


@alerts.command(epilog="Example: lepton alerts ack 3f2a --comment 'rolling back'")
@click.argument("fingerprint")
@click.option("--comment", default="", help="What you do about it.")
@json_option
@home_option
def ack(fingerprint: str, *, comment: str, as_json: bool, home: Path) -> None:
    """Say that you look after an alert: it is not told again, and goes to nobody further."""
    with client_for(home) as client:
        alert = client.acknowledge_alert(fingerprint, comment)
    if as_json:
        print_json(_document(alert))
    else:
        click.echo(f"{alert.acknowledgement.who} looks after it: {_summary(alert)}")


@alerts.command(epilog="Example: lepton alerts silence 'model=\"resnet\"' --for 2h --comment 'known, fixed tomorrow'")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "duration_s", type=Duration(), required=True, help="As 30m, 2h, 7d.")
@click.option("--comment", default="", help="Why.")
@json_option
@home_option
def silence(matchers: tuple[str, ...], *, duration_s: float, comment: str, as_json: bool, home: Path) -> None:
    """Have nobody told of alerts that all MATCHERS mean."""
    with client_for(home) as client:
        made = client.create_silence(matchers, timedelta(seconds=duration_s), comment)
    if as_json:
        print_json(_document(made))
    else:
        count = "1 alert" if made.alerts == 1 else f"{made.alerts} alerts"
        click.echo(f"Silence {made.id} until {_time(made.until)}: it means {count} now.")
        if not made.alerts:
            print_note("No alert that there is now has such labels. `lepton alerts show ID` tells those of an alert.")


@alerts.command(epilog="Example: lepton alerts silences")
@json_option
@home_option
def silences(*, as_json: bool, home: Path) -> None:
    """Silences in force."""
    with client_for(home) as client:
        found = client.silences()
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        titles = ("Id", "Means", "Until", "By", "Why", "Alerts")
        rows = [(e.id, ", ".join(e.matchers), _time(e.until), e.author, e.comment, e.alerts) for e in found]
        print_table([Column(title) for title in titles], rows)
    else:
        print_note("Nothing is silenced.")


@alerts.command(epilog="Example: lepton alerts unsilence 0c5f2a9b1d3e")
@click.argument("silence_id")
@json_option
@home_option
def unsilence(silence_id: str, *, as_json: bool, home: Path) -> None:
    """End a silence before its time."""
    with client_for(home) as client:
        ended = client.end_silence(silence_id)
    if as_json:
        print_json(_document(ended))
    else:
        click.echo(f"Silence {ended.id} is over.")


@alerts.command(epilog="Examples: lepton alerts sent · lepton alerts sent --receiver ops --json")
@click.option("--receiver", default="", help="Only what was for this one.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@json_option
@home_option
def sent(*, receiver: str, limit: int, as_json: bool, home: Path) -> None:
    """Notifications, the newest first: what was told to whom, and what is yet to arrive."""
    with client_for(home) as client:
        found = client.notifications(receiver=receiver, limit=limit)
    if as_json:
        print_json(_document(found))
    elif found.notifications:
        titles = ("When", "To", "Why", "What", "State", "Attempts", "Error")
        print_table([Column(title) for title in titles], [_sent_row(each) for each in found.notifications])
    elif found.receivers:
        print_note(f"Nothing was told yet. Try it: lepton alerts test {found.receivers[0].name}")
    else:
        print_note("There are no receivers: name a file with some in LEPTON_RECEIVERS_FILE (docs/alerts.md).")


@alerts.command(epilog="Example: lepton alerts test ops")
@click.argument("receiver")
@json_option
@home_option
def test(receiver: str, *, as_json: bool, home: Path) -> int:
    """Send an example to RECEIVER, and say what came of it; end with 1 when it does not arrive."""
    with client_for(home) as client:
        outcome = client.test_receiver(receiver)
    if as_json:
        print_json({"ok": not outcome.error, "status": outcome.status or None, "error": outcome.error})
    else:
        click.echo(outcome.error or "It arrived.")
    return 1 if outcome.error else 0


def described(alert: pb.Alert, runbook: str = "") -> Iterator[str]:
    """What somebody must know who is woken by it, in lines; `runbook` is what to do, where that is known."""
    said = alert.annotations
    yield _summary(alert)
    if said.get("description"):
        yield said["description"]
    yield f"State: {_state(alert)}{_aside(alert)}, {alert.labels.get('severity', '')}"
    yield f"Since: {_time(alert.began_at)}, {_since(alert)}"
    if said.get("share"):
        yield f"How bad: {float(said['share']):.1%} of requests"
    if said.get("impact"):
        yield f"For whom: {said['impact']}"
    yield from _causes(alert)
    if said.get("runbook"):
        yield f"What to do: {said['runbook']}"
        yield from (f"  {line}" for line in runbook.splitlines())
    if said.get("query"):
        yield f"Chart: lepton metrics {shlex.quote(said['query'])} --since 1h"
    if said.get("trace_id"):
        yield f"Trace: lepton trace {said['trace_id']}"
    yield f"Labels: {', '.join(f'{name}={value}' for name, value in sorted(alert.labels.items()))}"
    yield f"Told to: {', '.join(alert.receivers) or 'nobody, as no receiver wants it'}"


def _causes(alert: pb.Alert) -> Iterator[str]:
    """What the judge says, then what health has found, the likeliest first."""
    said = alert.annotations.get("cause")
    if said:
        yield f"Likely cause: {said}"
    for place, cause in enumerate(alert.causes):
        yield f"{'Perhaps' if said or place else 'Likely cause'}: {cause.text}  ({cause.command})"


def changes_before(client: Client, alert: pb.Alert) -> Sequence[TimelineEvent]:
    """The last changes of what it is about in the half hour before it began, the newest first."""
    about = next((name for name in ("model", "instance", "service") if alert.labels.get(name)), "")
    if not about:
        return ()
    began = alert.began_at.ToDatetime(tzinfo=UTC)
    found = client.events(since=began - _SUSPECT, labels={about: alert.labels[about]})
    before = [each for each in found if each.kind != "alert" and each.at.ToDatetime(tzinfo=UTC) <= began]
    return before[:_MAX_CHANGES]


def _is_unsilenced_page(alert: pb.Alert) -> bool:
    return alert.labels.get("severity") == "page" and _state(alert) == "firing" and not alert.silenced_by


def _row(alert: pb.Alert) -> tuple[object, ...]:
    from rich.text import Text

    severity = alert.labels.get("severity", "")
    shown = Text(severity, style=_SEVERITY_STYLES.get(severity, ""))
    what = _summary(alert) + _aside(alert)
    looked_after = alert.acknowledgement.who if alert.HasField("acknowledgement") else ""
    return shown, _styled(alert), what, _since(alert), looked_after, alert.fingerprint[:8]


def _since(alert: pb.Alert) -> str:
    """How long it has been wrong; of what is over how long it was, and since when it is over."""
    began_s, now_s = alert.began_at.ToMilliseconds() / 1000, datetime.now(UTC).timestamp()
    if not alert.HasField("resolved_at"):
        return format_duration_s(max(0.0, now_s - began_s))
    ended_s = alert.resolved_at.ToMilliseconds() / 1000
    lasted, over = (format_duration_s(max(0.0, each)) for each in (ended_s - began_s, now_s - ended_s))
    return f"{lasted}, over for {over}"


def _styled(alert: pb.Alert) -> RenderableType:
    return style_state(_state(alert))


def _aside(alert: pb.Alert) -> str:
    if alert.silenced_by:
        return f" (silenced by {alert.silenced_by})"
    return f" (follows from {alert.inhibited_by[:8]})" if alert.inhibited_by else ""


def _summary(alert: pb.Alert) -> str:
    return alert.annotations.get("summary") or alert.labels.get("alertname", "")


def _state(alert: pb.Alert) -> str:
    from lepton_ai.v1 import alerts_pb2

    return alerts_pb2.AlertState.Name(alert.state).removeprefix("ALERT_STATE_").lower()


def _sent_row(told: pb.Notification) -> tuple[object, ...]:
    from lepton_ai.v1 import alerts_pb2

    state = alerts_pb2.NotificationState.Name(told.state).removeprefix("NOTIFICATION_STATE_").lower()
    return (
        *(_time(told.created_at), told.receiver, told.reason, told.title),
        *(style_state(state), told.attempts, told.error),
    )


def _time(moment: Timestamp) -> str:
    return f"{moment.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"


def _document(message: Message) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)
