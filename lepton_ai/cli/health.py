"""`lepton health`: services, models, and whether predictions really work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table, style_state
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import health_pb2 as pb


@click.command(epilog="Examples: lepton health · lepton health --json")
@json_option
@home_option
def health(*, as_json: bool, home: Path) -> int:
    """Show the state of services and models. Ends with 1 unless everything is healthy."""
    from google.protobuf.json_format import MessageToDict

    from lepton_ai.v1 import health_pb2

    with client_for(home) as client:
        status = client.status()
    if as_json:
        print_json(MessageToDict(status, preserving_proto_field_name=True))
    else:
        _print_status(status)
    return 0 if status.condition == health_pb2.CONDITION_HEALTHY else 1


def _print_status(status: pb.PlatformStatus) -> None:
    columns = [Column("What"), Column("Name"), Column("State"), Column("Detail")]
    stale = f"stale since {status.stale_since.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
    told = stale if status.HasField("stale_since") else ""
    rows: list[tuple[object, ...]] = [("platform", "", _state(status.condition), told)]
    for service in status.services:
        count = len(service.replicas)
        detail = f"{count} replica{'' if count == 1 else 's'}: {', '.join(each.address for each in service.replicas)}"
        rows.append(("service", service.name, _state(service.condition), detail if count else "none registered"))
    for model in status.models:
        detail = model.message or f"version {model.production_version}, last test {_milliseconds(model)}"
        rows.append(("model", model.name, _state(model.condition), detail))
    print_table(columns, rows)
    for problem in status.problems:
        print_note(f"• {problem}")


def _state(condition: pb.Condition.ValueType) -> object:
    from lepton_ai.v1 import health_pb2

    return style_state(health_pb2.Condition.Name(condition).removeprefix("CONDITION_").lower())


def _milliseconds(model: pb.ModelStatus) -> str:
    return f"{model.last_probe.duration_us / 1e3:.1f} ms"
