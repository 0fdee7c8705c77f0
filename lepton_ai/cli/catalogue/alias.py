"""`lepton alias`: names for versions, by which they are called."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for


@click.command(
    epilog="Examples: lepton alias resnet · lepton alias resnet staging 3 · lepton alias resnet staging --delete"
)
@click.argument("model")
@click.argument("name", default="")
@click.argument("version", default=None, required=False, type=int)
@click.option("--delete", is_flag=True, help="Take the alias away.")
@json_option
@home_option
def alias(model: str, name: str, version: int | None, *, delete: bool, as_json: bool, home: Path) -> None:
    """Let MODEL@NAME mean VERSION; without them, list the aliases of MODEL.

    Calls through an alias are answered while its version is deployed. The alias production follows `lepton deploy`.
    """
    if bool(name) != (delete or version is not None) or (delete and version is not None):
        raise click.UsageError("Give NAME and VERSION to set an alias, NAME and --delete to take it away.")
    with client_for(home) as client:
        if delete:
            aliases = client.delete_alias(model, name)
        elif version is not None:
            aliases = client.set_alias(model, name, version)
        else:
            aliases = client.aliases(model)
    if as_json:
        print_json({"model": model, "aliases": aliases})
    elif name:
        click.echo(f"{model}@{name} is gone." if delete else f"{model}@{name} is version {version}.")
    elif aliases:
        print_table([Column("Alias"), Column("Version", "right")], aliases.items())
    else:
        print_note(f"{model} has no aliases. Set one: lepton alias {model} NAME VERSION")
