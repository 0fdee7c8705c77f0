"""`lepton diff`, `lepton lineage` and `lepton card`: what a version is, where it comes from, and how it differs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    console,
    format_size_bytes,
    home_option,
    json_option,
    make_table,
    named_home_option,
    print_json,
    print_note,
    print_table,
    running_home,
)
from lepton_ai.cli.platform import client_for
from lepton_ai.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from lepton_ai.client import Client
    from lepton_ai.package import Description
    from lepton_ai.v1 import registry_pb2

_CARD = "README.md"
_MAX_CARD_BYTES = 1 << 20
_LONGEST_LINE = 20
"""Generations of a lineage that are followed."""


@dataclass(frozen=True)
class About:
    """What is told of a package without its model."""

    name: str
    """NAME@VERSION, or the path of one that is not pushed."""
    description: Description
    manifest: registry_pb2.Manifest
    card: str
    """Its README.md; empty without one."""
    version: registry_pb2.ModelVersion | None = None


def read_about(source: str, home: Path | None) -> About:
    """Of a folder or packed file that is there, else of NAME, NAME@VERSION or NAME@ALIAS in the registry."""
    from lepton_ai.package import opened_package

    if Path(source).exists():
        with opened_package(source) as package:
            card = package.directory / _CARD
            text = card.read_text(encoding="utf-8", errors="replace") if _CARD in package.files else ""
            return About(source, package.description, package.manifest(), text)
    with client_for(running_home(home)) as client:
        return about_version(client, source)


def about_version(client: Client, reference: str) -> About:
    """Of a version in the registry: only its small files are fetched."""
    from lepton_ai.package.description import DESCRIPTION_FILE, Description

    version = client.version(reference)
    name = f"{version.model}@{version.version}"
    sizes = {file.path: file.size_bytes for file in version.manifest.files}
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        described = client.download(name, DESCRIPTION_FILE, Path(place) / DESCRIPTION_FILE).read_bytes()
        card = ""
        if sizes.get(_CARD, _MAX_CARD_BYTES + 1) <= _MAX_CARD_BYTES:
            card = client.download(name, _CARD, Path(place) / _CARD).read_text(encoding="utf-8", errors="replace")
    return About(name, Description.parse(described), version.manifest, card, version)


@click.command(epilog="Examples: lepton diff resnet@1 resnet@2 · lepton diff resnet@production ./resnet --json")
@click.argument("before")
@click.argument("after")
@json_option
@named_home_option
def diff(before: str, after: str, *, as_json: bool, home: Path | None) -> int:
    """Show what differs between two packages: signature, pipeline, metrics, lineage, files.

    Ends with 1 if anything does. Each is NAME, NAME@VERSION or NAME@ALIAS of the registry, or a package's folder or
    packed file.
    """
    from lepton_ai.package.comparison import compare

    old, new = read_about(before, home), read_about(after, home)
    found = compare(old.description, new.description, old.manifest, new.manifest)
    if as_json:
        print_json([{"section": e.section, "what": e.what, "before": e.before, "after": e.after} for e in found])
    elif found:
        columns = [Column("Section"), Column("What"), Column(old.name), Column(new.name)]
        print_table(columns, [(e.section, e.what, *(_cell(e.section, v) for v in (e.before, e.after))) for e in found])
    else:
        print_note(f"{old.name} and {new.name} are the same.")
    return 1 if found else 0


@click.command(epilog="Examples: lepton lineage churn · lepton lineage churn@3 --json")
@click.argument("model")
@json_option
@home_option
def lineage(model: str, *, as_json: bool, home: Path) -> None:
    """Show what MODEL (NAME, NAME@VERSION or NAME@ALIAS) was made from: data, run, parameters, and its parents."""
    with client_for(home) as client:
        generations = _generations(client, model)
    if as_json:
        print_json([{"version": each.name, **each.description.lineage.model_dump()} for each in generations])
        return
    from rich.tree import Tree

    tree = branch = Tree(_generation(generations[0]))
    for each in generations[1:]:
        branch = branch.add(_generation(each))
    missing = generations[-1].description.lineage.parent
    if missing:
        branch.add(f"{missing} (not in this registry)")
    console().print(tree)


@click.command(epilog="Examples: lepton card resnet · lepton card ./resnet")
@click.argument("source")
@named_home_option
def card(source: str, *, home: Path | None) -> None:
    """Show the model card of SOURCE: its README.md, and what the package says of it.

    SOURCE is NAME, NAME@VERSION or NAME@ALIAS of the registry, or a package's folder or packed file.
    """
    from rich.markdown import Markdown

    about = read_about(source, home)
    out = console()
    text = about.card or f"# {about.description.name}\n\n{about.description.description}"
    out.print(Markdown(text) if out.is_terminal else text)
    out.print()
    out.print(make_table([Column("", style="bold"), Column(about.name)], _facts(about), framed=out.is_terminal))


def _generations(client: Client, model: str) -> list[About]:
    found = [about_version(client, model)]
    while (parent := found[-1].description.lineage.parent) and len(found) < _LONGEST_LINE:
        if parent in {each.name for each in found}:
            break
        try:
            found.append(about_version(client, parent))
        except (NotFound, InvalidInput):
            break
    return found


def _generation(about: About) -> str:
    known = about.description.lineage
    data = f"trained on {known.data or 'data'}" if known.data or known.data_digest else ""
    digest = f"data {known.data_digest[:12]}" if known.data_digest else ""
    rows = f"{known.rows:,} rows" if known.rows else ""
    parameters = ", ".join(f"{name} {value}" for name, value in known.parameters.items())
    told = [each for each in (data, rows, digest, f"run {known.run}" if known.run else "", parameters) if each]
    return f"{about.name}" + (f": {'; '.join(told)}" if told else "")


def _facts(about: About) -> list[tuple[str, str]]:
    description, known = about.description, about.description.lineage
    size_bytes = sum(file.size_bytes for file in about.manifest.files)
    facts = [
        ("Takes", ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in description.inputs)),
        ("Gives", ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in description.outputs)),
        ("Metrics", ", ".join(f"{name} {value:.4g}" for name, value in description.metrics.items())),
        ("Made from", known.parent),
        ("Trained on", _generation(about).partition(": ")[2]),
        ("Files", f"{len(about.manifest.files)}, {format_size_bytes(size_bytes)}"),
    ]
    if about.version is not None:
        facts += [("Aliases", ", ".join(about.version.aliases)), ("Digest", about.version.digest)]
    return [(name, value) for name, value in facts if value]


def _cell(section: str, value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,} bytes" if section == "files" else str(value)
