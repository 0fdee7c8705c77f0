"""`lepton console`: the platform in a browser."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

import click

from lepton_ai.addresses import Addresses, find_addresses
from lepton_ai.cli.output import json_option, named_home_option, print_json, running_home
from lepton_ai.errors import Unavailable


@click.command()
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@named_home_option
@json_option
def console(*, no_browser: bool, home: Path | None, as_json: bool) -> None:
    """Open the web console, and print its address.

    It shows whether all is well, what changed and what to do; models, traces, feedback. Nobody needs a token to look;
    before it changes something it asks for the platform's, which stands in secrets/token of the run directory.

    \b
    Examples:
      lepton console
      lepton console --no-browser
      LEPTON_CONSOLE_ADDRESS=http://health.example:8080 lepton console
    """
    url = find_addresses(Addresses(), environ=os.environ, home=running_home(home)).console
    if not url:
        raise Unavailable(
            "No console is known here.",
            fix="Start a stack with `lepton up`, or set LEPTON_CONSOLE_ADDRESS to its URL.",
        )
    opened = not (no_browser or as_json) and webbrowser.open(url)
    if as_json:
        print_json({"console": url})
    else:
        click.echo(url if not opened else f"{url} opens in your browser.")
