"""`lepton schema`: the JSON schema of lepton.yaml, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import print_note


@click.command(epilog="Examples: lepton schema > lepton.schema.json · lepton schema -o .lepton.schema.json")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; without it, it is printed."
)
def schema(*, output: Path | None) -> None:
    """Print the JSON schema of lepton.yaml.

    With `# yaml-language-server: $schema=.lepton.schema.json` as its first line, editors complete and check the file.
    """
    from lepton_ai.package.schema import schema_text

    if output is None:
        click.echo(schema_text(), nl=False)
        return
    output.write_text(schema_text(), encoding="utf-8")
    print_note(f"{output} is written.")
