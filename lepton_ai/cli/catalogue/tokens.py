"""`lepton tokens`: tokens with names, so that the audit trail tells who changed what."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import json_option, print_json, print_note

_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group()
def tokens() -> None:
    """Give people and programs tokens of their own, in the FILE that the registry's LEPTON_TOKENS_FILE names."""


@tokens.command(epilog="Example: lepton tokens create alice tokens.txt")
@click.argument("name")
@_FILE
def create(name: str, file: Path) -> None:
    """Make a token for NAME and print it, this once: FILE gets its hash only.

    A registry that runs with this file takes it from now on; whoever shows it stands as token:NAME in `lepton audit`.
    """
    from lepton_ai.mesh.serving.tokens import create_token

    token = create_token(file, name)
    print_note(f"The token of {name}, for its LEPTON_TOKEN. It is not shown again:")
    click.echo(token)


@tokens.command("list", epilog="Example: lepton tokens list tokens.txt")
@_FILE
@json_option
def list_(file: Path, *, as_json: bool) -> None:
    """Names that have tokens."""
    from lepton_ai.mesh.serving.tokens import read_tokens

    names = sorted(read_tokens(file))
    print_json(names) if as_json else click.echo("\n".join(names))


@tokens.command(epilog="Example: lepton tokens delete alice tokens.txt")
@click.argument("name")
@_FILE
def delete(name: str, file: Path) -> None:
    """Take NAME's token away; it is refused from the next call on."""
    from lepton_ai.mesh.serving.tokens import delete_token

    delete_token(file, name)
    click.echo(f"{name} has no token any more.")
