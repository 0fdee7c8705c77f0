"""`lepton slo`: what is promised of models, and how much of the budget of failures is left."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.plan_options import Duration
from lepton_ai.cli.output import (
    Column,
    format_duration_s,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import alerts_pb2 as pb

_LOW = 0.25


class _Latency(click.ParamType[tuple[float, float]]):
    """200ms:99 → (0.2, 0.99)."""

    name = "time:percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        time, colon, percent = str(value).partition(":")
        try:
            share = float(percent.removesuffix("%")) / 100
        except ValueError:
            share = 0.0
        if not colon or not 0 < share < 1:
            self.fail(f"{value!r} is none: write TIME:PERCENT, as 200ms:99.", param, ctx)
        return Duration().convert(time, param, ctx), share


@click.group()
def slo() -> None:
    """What is promised of models: set it, list how it stands, take it back."""


@slo.command("set", epilog="Example: lepton slo set resnet --availability 99.9 --latency 200ms:99 --window 30d")
@click.argument("model")
@click.option(
    "--availability",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    help="Percent of the requests that are answered.",
)
@click.option("--latency", type=_Latency(), help="Time, and percent of the answers that come within it.")
@click.option("--window", type=Duration(), default="30d", show_default=True, help="Over how long.")
@json_option
@home_option
def set_(
    model: str,
    *,
    availability: float | None,
    latency: tuple[float, float] | None,
    window: float,
    as_json: bool,
    home: Path,
) -> None:
    """Promise something of MODEL, in place of what its package says."""
    if availability is None and latency is None:
        raise click.UsageError("Give --availability, --latency, or both.")
    options: dict[str, Any] = {} if latency is None else {"latency_s": latency[0], "latency_share": latency[1]}
    with client_for(home) as client:
        made = client.set_slo(
            model,
            availability=None if availability is None else availability / 100,
            window=timedelta(seconds=window),
            **options,
        )
        is_unknown = model not in {each.name for each in client.status().models}
    if as_json:
        print_json(_document(made))
    else:
        click.echo(f"Promised of {model}: {_promise(made)}.")
        if is_unknown:
            print_note("No model of this name is deployed. Those that are: lepton health")


@slo.command("list", epilog="Examples: lepton slo list · lepton slo list resnet --json")
@click.argument("model", default="")
@json_option
@home_option
def list_(model: str, *, as_json: bool, home: Path) -> None:
    """What is promised of MODEL, or of all, and how much of the budget of failures is left."""
    with client_for(home) as client:
        found = client.slos(model)
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        titles = ("Model", "Promised", "By", "Budget left", "Burns (1 h, 6 h, 1 d, 3 d)", "Data of")
        print_table([Column(title) for title in titles], [_row(each) for each in found])
    else:
        print_note("Nothing is promised. Promise something: lepton slo set MODEL --availability 99.9")


@slo.command(epilog="Example: lepton slo remove resnet")
@click.argument("model")
@home_option
def remove(model: str, *, home: Path) -> None:
    """Take back what is promised of MODEL, also by its package."""
    with client_for(home) as client:
        client.remove_slo(model)
    click.echo(f"Nothing is promised of {model} any more.")


def _promise(slo: pb.Slo) -> str:
    parts = []
    if slo.HasField("availability"):
        parts.append(f"{slo.availability * 100:.6g} % answered")
    if slo.HasField("latency"):
        parts.append(f"{slo.latency_share * 100:.6g} % within {format_duration_s(slo.latency.ToMilliseconds() / 1000)}")
    return f"{', '.join(parts)} over {slo.window.ToMilliseconds() / 86_400_000:g} d"


def _row(slo: pb.Slo) -> tuple[object, ...]:
    from rich.text import Text

    lefts = [f"{each.budget_left:.0%}" for each in slo.status]
    low = any(each.budget_left < _LOW for each in slo.status)
    rates = [" ".join(f"{each.burn_rates[window]:.2g}×" for window in ("1h", "6h", "1d", "3d")) for each in slo.status]
    coverage = f"{min(each.coverage for each in slo.status):.0%}" if slo.status else "not judged"
    left = Text(", ".join(lefts), style="bold red" if low else "green")
    return slo.model, _promise(slo), slo.author or slo.source, left, "; ".join(rates), coverage


def _document(slo: pb.Slo) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(slo, preserving_proto_field_name=True)
