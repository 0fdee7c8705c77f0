"""`lepton paths`: which way a model's raw items take on each replica, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

Document = Mapping[str, Any]
_PLACES = {"fused": "beside the model", "remote": "preprocess service"}


@click.command(epilog="Examples: lepton paths resnet · lepton paths resnet@3 --json")
@click.argument("model")
@json_option
@home_option
def paths(model: str, *, as_json: bool, home: Path) -> None:
    """Show where MODEL runs its pipeline (NAME, NAME@VERSION or NAME@ALIAS), how fast, and how its batches run."""
    with client_for(home) as client:
        described = client.paths(model)
    if as_json:
        print_json(described)
        return
    for address, document in sorted(described.items()):
        _print_replica(address, document)


def _print_replica(address: str, document: Document) -> None:
    instances = f"{document['instances']} instance{'' if document['instances'] == 1 else 's'}"
    click.echo(f"{document['model_name']} version {document['model_version']} at {address}: {instances}")
    if document["paths"]:
        columns = [
            Column("Path"),
            Column("Pipeline runs"),
            Column("Items"),
            Column("Alone", "right"),
            Column("Under load", "right"),
            Column("Chosen"),
        ]
        print_table(columns, [_path_row(path) for path in document["paths"] if _is_telling(path, document["paths"])])
    if document["variants"]:
        click.echo(f"Variants, policy {document['variant_policy']}:")
        columns = [Column("Variant"), Column("Answers"), Column("Why")]
        rows = [(each["name"], "yes" if each["serving"] else "no", each["message"]) for each in document["variants"]]
        print_table(columns, rows)
    if document["batches"]:
        columns = [
            Column("Batches of"),
            Column("Seen", "right"),
            Column("Each batch", "right"),
            Column("Each row", "right"),
            Column("Rows that pay", "right"),
            Column("Alone", "right"),
            Column("On all cores", "right"),
        ]
        print_table(columns, [_batch_row(batches) for batches in document["batches"]])
    else:
        print_note("No batch has been run yet: what is not measured is shown as –.")


def _is_telling(path: Document, paths: Sequence[Document]) -> bool:
    """Large items are shown only once some were seen."""
    seen = any(int(each["alone_us"]) or int(each["under_load_us"]) for each in paths if each["large_items"])
    return seen or not path["large_items"]


def _path_row(path: Document) -> tuple[object, ...]:
    chosen = [name for name in ("alone", "under load") if path[f"chosen_{name.replace(' ', '_')}"]]
    size = "large" if path["large_items"] else "small"
    alone, load = (_milliseconds(path[key]) for key in ("alone_us", "under_load_us"))
    return path["path"], _PLACES[path["path"]], size, alone, load, " and ".join(chosen)


def _batch_row(batches: Document) -> tuple[object, ...]:
    times = [_milliseconds(batches[key]) for key in ("fixed_us", "per_row_us")]
    lone = [_milliseconds(batches[key]) for key in ("alone_us", "wide_us")]
    return batches["input"], batches["batches"], *times, batches["worthwhile_rows"], *lone


def _milliseconds(microseconds: str | float) -> str:
    value = float(microseconds)
    return f"{value / 1e3:.2f} ms" if value else "–"
