"""`lepton feedback complaints`: what users write, the same together."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import feedback_pb2 as pb


@click.command(epilog="Example: lepton feedback complaints resnet --since 2026-07-01")
@click.argument("model")
@click.option("--version", default=0, help="Only of this version.")
@click.option("--since", type=click.DateTime(), help="Only what was said since then.")
@click.option("--limit", default=20, show_default=True, help="At most so many groups, the largest.")
@json_option
@home_option
def complaints(model: str, *, version: int, since: datetime | None, limit: int, as_json: bool, home: Path) -> None:
    """Show what users write of MODEL's predictions that nobody calls good: texts that say about the same together."""
    with client_for(home) as client:
        found = client.complaints(model, version=version, since=since and since.astimezone())[:limit]
        if not found:
            client.version(model)  # says so of a model that there is not
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        columns = [Column("Texts", "right"), Column("Such as"), Column("Words"), Column("Versions"), Column("Last")]
        print_table(columns, [_row(each) for each in found])
    else:
        print_note(f"Nobody complained of {model}.")


def _row(group: pb.ComplaintGroup) -> tuple[object, ...]:
    versions = ", ".join(f"{version}: {count}" for version, count in sorted(group.versions.items()))
    return group.count, group.example, ", ".join(group.keys), versions, f"{group.last_at.ToDatetime():%Y-%m-%d %H:%M}"


def _document(group: pb.ComplaintGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "example": group.example,
        "keys": list(group.keys),
        "count": group.count,
        "versions": {str(version): count for version, count in sorted(group.versions.items())},
        "first_at": group.first_at.ToJsonString(),
        "last_at": group.last_at.ToJsonString(),
    }
