"""`lepton archive`, `restore` and `delete`: the life of a version after it was pushed."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import home_option, json_option, print_json, print_note
from lepton_ai.cli.platform import client_for


def _command(name: str, help_text: str, done: str) -> click.Command:
    @click.command(name, help=help_text, epilog=f'Example: lepton {name} resnet@3 --reason "replaced by 4"')
    @click.argument("model")
    @click.option("--reason", default="", help="Why; kept with the version and in the audit trail.")
    @json_option
    @home_option
    def run(model: str, *, reason: str, as_json: bool, home: Path) -> None:
        with client_for(home) as client:
            version = getattr(client, f"{name}_version")(model, reason=reason)
        if as_json:
            print_json({"model": version.model, "version": version.version, "state": done})
            return
        click.echo(f"{version.model} version {version.version} is {done}.")
        if done == "archived":
            print_note(f"Back: lepton restore {model} · for good: lepton delete {model}")

    return run


archive = _command(
    "archive",
    "Take MODEL (NAME@VERSION) out of use without losing it: it can no longer be deployed or have aliases.",
    "archived",
)
restore = _command("restore", "Make the archived version MODEL (NAME@VERSION) ready again.", "ready")
delete = _command(
    "delete",
    "Delete the archived version MODEL (NAME@VERSION) for good. Its number is not given again.",
    "deleted",
)
