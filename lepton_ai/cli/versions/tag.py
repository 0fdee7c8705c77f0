"""`lepton tag`: what people say of models and versions, for searches."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for


@click.command(epilog="Examples: lepton tag resnet team=vision · lepton tag resnet@3 approved=yes · … approved=")
@click.argument("model")
@click.argument("tags", nargs=-1, required=True, metavar="KEY=VALUE…")
@json_option
@home_option
def tag(model: str, tags: tuple[str, ...], *, as_json: bool, home: Path) -> None:
    """Tag MODEL: a version (NAME@VERSION), or the model itself (NAME). KEY= takes a tag away.

    Find them again: lepton models --filter "tag.team=vision and state=ready".
    """
    wanted = {}
    for each in tags:
        key, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"{each!r} is not KEY=VALUE.")
        wanted[key] = value
    with client_for(home) as client:
        now = client.set_tags(model, wanted)
    if as_json:
        print_json({"model": model, "tags": now})
    elif now:
        print_table([Column("Tag"), Column("Value")], now.items())
    else:
        print_note(f"{model} has no tags now.")
