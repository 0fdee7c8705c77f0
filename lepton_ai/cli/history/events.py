"""`lepton events`: what changed on the platform, and who did it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.plan_options import Duration
from lepton_ai.cli.output import (
    console,
    home_option,
    json_option,
    json_text,
    print_json,
    print_note,
)
from lepton_ai.cli.platform import client_for
from lepton_ai.errors import Unavailable

if TYPE_CHECKING:
    from rich.text import Text

    from lepton_ai.client import Client
    from lepton_ai.v1 import events_pb2 as pb

_POLL_S = 1.0
_LATE_S = 10.0
"""An event may be told so long after it happened."""
_STYLES = {
    "deploy": "green",
    "rollout": "cyan",
    "alias": "cyan",
    "push": "blue",
    "undeploy": "yellow",
    "replica_joined": "green",
    "replica_left": "red",
    "restart": "yellow",
    "scale": "magenta",
    "settings": "magenta",
    "serving_failed": "bold red",
    "serving": "green",
    "alert": "bold red",
}
_KINDS = (*_STYLES, "registry")


@click.command(
    epilog="Examples: lepton events · lepton events resnet --since 1h · lepton events --kind restart · "
    "lepton events --follow"
)
@click.argument("model", default="")
@click.option("--since", "since_s", type=Duration(), default="1d", show_default=True, help="How far back, such as 1h.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    metavar="KIND",
    help="Only of this kind, such as deploy or restart; more than once.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what happens until Ctrl-C.")
@json_option
@home_option
def events(
    model: str,
    *,
    since_s: float,
    kinds: tuple[str, ...],
    limit: int,
    follow: bool,
    as_json: bool,
    home: Path,
) -> None:
    """What changed, of MODEL or in all, and who did it; the newest last.

    Deployments, rollouts, aliases and pushes with their actors, processes that joined, left, were restarted or set
    differently, and alerts.
    """
    with client_for(home) as client:
        since = datetime.fromtimestamp(time.time() - since_s, UTC)
        found = list(client.events(model, since=since, kinds=kinds, limit=limit))[::-1]
        if follow:
            _follow(client, model, kinds, found, as_json=as_json)
    if as_json:
        print_json([document(event) for event in found])
        return
    for event in found:
        console().print(_line(event), soft_wrap=True)
    if not found:
        from rich.markup import escape

        what = f"Nothing{' of that kind' if kinds else ''} has happened{f' to {escape(model)}' if model else ''}"
        print_note(f"{what} since {since:%Y-%m-%d %H:%M} UTC.")


def _follow(
    client: Client, model: str, kinds: tuple[str, ...], found: list[pb.TimelineEvent], *, as_json: bool
) -> None:
    """Print what there is and what comes, for ever."""
    since = datetime.fromtimestamp(time.time() - _LATE_S, UTC)
    printed: dict[str, str] = {}
    is_away = False
    while True:
        for event in found:
            # It comes again when it becomes known who did it.
            if printed.get(event.id) != event.actor:
                if as_json:
                    click.echo(json_text(document(event)))
                else:
                    console().print(_line(event), soft_wrap=True)
        printed = {event.id: event.actor for event in found} or printed
        time.sleep(_POLL_S)
        try:
            found = list(client.events(model, since=since, kinds=kinds, limit=1000))[::-1]
            is_away = False
        except Unavailable as error:
            if not is_away:
                print_note(f"[yellow]{error.message} Waiting for it.[/yellow]")
            is_away = True
            found = []


def _line(event: pb.TimelineEvent) -> Text:
    from rich.text import Text

    when = event.at.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    line = Text.assemble(
        (when, "dim"), "  ", (event.kind.ljust(14), _STYLES.get(event.kind, "")), " ", printable(event.title)
    )
    if event.actor:
        line.append(f"  by {printable(event.actor)}", style="bold")
    return line


def printable(text: str) -> str:
    """Without what would drive a terminal or forge a line."""
    return "".join(character if character.isprintable() else "·" for character in text)


def document(event: pb.TimelineEvent) -> dict[str, Any]:
    """An event as --json prints it."""
    return {
        "id": event.id,
        "at": event.at.ToJsonString(),
        "kind": event.kind,
        "title": event.title,
        "labels": dict(event.labels),
        "actor": event.actor or None,
        "details": dict(event.details),
    }
