"""`lepton trace`: where the time of one request went, from the client into Triton."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lepton_ai.addresses import Addresses, find_addresses
from lepton_ai.cli.output import console, json_option, named_home_option, print_json, print_note, running_home
from lepton_ai.cli.trace_view import render_trace
from lepton_ai.errors import Unavailable
from lepton_ai.traces.client import TraceClient
from lepton_ai.traces.tree import build_tree, is_complete

__all__ = ["render_trace", "trace"]


@click.command()
@click.argument("trace_id", metavar="ID")
@click.option("--url", help="Trace store or Jaeger to ask.  [default: that of the running stack]")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for spans that are still on their way.",
)
@named_home_option
@json_option
def trace(*, trace_id: str, url: str | None, wait_s: float, home: Path | None, as_json: bool) -> None:
    """Show where the time of a request went.

    ID is the trace id that `lepton predict` prints. Processes send their spans every few seconds; the command waits
    until the trace is complete.

    \b
    Examples:
      lepton trace 4bf92f3577b34da6a3ce929d0e0e4736
      lepton trace 4bf92f3577b34da6a3ce929d0e0e4736 --url http://jaeger.example:16686 --wait 0
    """
    client = TraceClient(_store_url(running_home(home)) if url is None else url)
    found = client.wait(trace_id, timeout_s=wait_s)
    if as_json:
        print_json(found)
        return
    console().print(render_trace(found))
    if not is_complete(build_tree(found)):
        print_note("[yellow]Some spans have not arrived; a later look may show more.[/yellow]")
    click.echo(f"In a browser: {client.page_url(found['traceID'])}")


def _store_url(home: Path) -> str:
    url = find_addresses(Addresses(), environ=os.environ, home=home).traces
    if not url:
        raise Unavailable(
            "No trace store is known here.", fix="Start a stack with `lepton up`, or name one with --url."
        )
    return url
