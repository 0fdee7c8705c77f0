"""`lepton bom`: the bill of materials of a package."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import json_text, named_home_option, print_note
from lepton_ai.cli.packages.source import opened_source


@click.command(epilog="Examples: lepton bom resnet@3 · lepton bom ./resnet -o resnet.cdx.json")
@click.argument("source")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; without it, it is printed."
)
@named_home_option
def bom(source: str, *, output: Path | None, home: Path | None) -> None:
    """Print the CycloneDX ML-BOM of SOURCE: its files with their hashes, a model card, what it was trained on.

    SOURCE is a package's folder or packed file, or NAME, NAME@VERSION or NAME@ALIAS of the registry. The same version
    makes the same bill.
    """
    from lepton_ai.interchange.bom import make_bom

    with opened_source(source, home, quiet=output is None) as opened:
        text = json_text(make_bom(opened.package, version=str(opened.version or "")), indent=2)
    if output is None:
        click.echo(text)
        return
    output.write_text(text + "\n", encoding="utf-8")
    print_note(f"{output} is written.")
