"""`lepton top`: how the platform is doing, live in a terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lepton_ai.cli.output import console, home_option, json_option, print_json
from lepton_ai.cli.platform import client_for
from lepton_ai.errors import LeptonError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lepton_ai.cli.monitoring.board import Board
    from lepton_ai.client import Client

_POINTS = 30


@click.command(epilog="Examples: lepton top · lepton top --once · lepton top --once --json")
@click.option("--once", is_flag=True, help="Print it and end; so it does where nobody watches, as in a pipe.")
@click.option(
    "--interval", type=click.FloatRange(0.5, 60), default=2.0, show_default=True, help="Seconds between looks."
)
@json_option
@home_option
def top(*, once: bool, interval: float, as_json: bool, home: Path) -> None:
    """Watch services, models and machines: what fires, rates, errors, latencies, small charts. Ctrl-C ends it."""
    with client_for(home) as client:
        if as_json:
            print_json(_look(client).document())
        elif once or not console().is_terminal:
            out = console()
            out.print(_look(client).render(out.width if out.is_terminal else 0))
        else:
            _watch(client, interval)


def _look(client: Client) -> Board:
    from lepton_ai.cli.monitoring.board import Board

    return Board(client.status(), client.kpis(trend_points=_POINTS), client.alerts())


def _watch(client: Client, interval_s: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    out = console()
    shown: RenderableType = Text("Looking…")
    with Live(shown, console=out, screen=True, auto_refresh=False) as live:
        try:
            while True:
                try:
                    shown = _look(client).render(out.width)
                    live.update(shown, refresh=True)
                except LeptonError as error:  # what was seen last stays, with why there is nothing newer
                    live.update(Group(Text(f"{error.message} {error.fix}", style="bold red"), shown), refresh=True)
                time.sleep(interval_s)
        except KeyboardInterrupt:
            return
