"""`lepton metrics`: measurements of all processes, asked for in PromQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.plan_options import Duration
from lepton_ai.cli.monitoring.figures import format_number, sparkline
from lepton_ai.cli.output import (
    Column,
    format_duration_s,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
    style_state,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import metrics_pb2 as pb

_NAME = "__name__"
_SPARKLINE_WIDTH = 30


@click.command(
    epilog="Examples: lepton metrics · lepton metrics 'sum by (model) (rate(lepton_requests_total[1m]))' · "
    "lepton metrics up --since 1h --step 1m · lepton metrics --targets"
)
@click.argument("expression", default="")
@click.option("--since", type=Duration(), help="From so long ago until now, such as 1h; without it, as it is now.")
@click.option(
    "--step", type=Duration(), default="15s", show_default=True, help="With --since: one value every so long."
)
@click.option("--targets", is_flag=True, help="List the processes that are measured, and how that went last.")
@click.option("--exemplars", is_flag=True, help="List traces behind the buckets that EXPRESSION selects.")
@json_option
@home_option
def metrics(
    expression: str,
    *,
    since: float | None,
    step: float,
    targets: bool,
    exemplars: bool,
    as_json: bool,
    home: Path,
) -> None:
    """Evaluate a PromQL EXPRESSION over the measurements of all processes. Without one, list the metrics."""
    if sum((targets, exemplars, since is not None)) > 1 or (targets and expression):
        raise click.UsageError("Give an expression, perhaps with --since or --exemplars, or --targets alone.")
    if not expression and (exemplars or since is not None):
        raise click.UsageError("Name what to look at, such as up.")
    with client_for(home) as client:
        if targets:
            _show_targets(client.metric_targets(), as_json)
        elif exemplars:
            _show_exemplars(client.exemplars(expression), as_json)
        elif not expression:
            _show_names(client.metric_names(), as_json)
        else:
            found = client.metrics(expression, since_s=since or 0.0, step_s=step)
            _show_series(found, as_json, is_range=since is not None)


def _show_series(found: Sequence[pb.MetricSeries], as_json: bool, *, is_range: bool) -> None:
    if as_json:
        print_json(
            [{"labels": dict(e.labels), "times": list(e.times), "values": list(e.values)} for e in found]
            if is_range
            else [{"labels": dict(e.labels), "time": e.times[-1], "value": e.values[-1]} for e in found]
        )
        return
    if not found:
        print_note("There is nothing that this expression selects. The metrics that there are: lepton metrics")
        return
    names = sorted({name for each in found for name in each.labels} - {_NAME})
    named = any(_NAME in each.labels for each in found)
    columns = [*([Column("metric")] if named else []), *(Column(name) for name in names), Column("value", "right")]
    if is_range:
        columns += [Column("least", "right"), Column("most", "right"), Column("trend")]
    print_table(columns, [_series_row(each, [_NAME] * named + names, is_range=is_range) for each in found])


def _series_row(series: pb.MetricSeries, names: Sequence[str], *, is_range: bool) -> tuple[object, ...]:
    labels = [series.labels.get(name, "") for name in names]
    values = list(series.values)
    if not is_range:
        return *labels, format_number(values[-1])
    numbers = (values[-1], min(values), max(values))
    return *labels, *map(format_number, numbers), sparkline(values, _SPARKLINE_WIDTH)


def _show_names(found: Sequence[pb.MetricDescription], as_json: bool) -> None:
    if as_json:
        keys = ("name", "type", "help", "series")
        print_json([{**{key: getattr(e, key) for key in keys}, "labels": list(e.labels)} for e in found])
    elif found:
        columns = [Column("metric"), Column("type"), Column("series", "right"), Column("labels"), Column("meaning")]
        print_table(columns, [(e.name, e.type, e.series, ", ".join(e.labels), e.help) for e in found])
    else:
        print_note("Nothing was measured yet; the first measurements come within seconds.")


def _show_targets(found: Sequence[pb.MetricsTarget], as_json: bool) -> None:
    if as_json:
        print_json([_target_document(each) for each in found])
        return
    columns = [Column("service"), Column("instance"), Column("state"), Column("took", "right")]
    columns += [Column("samples", "right"), Column("detail")]
    rows = [
        (
            each.service,
            each.instance,
            style_state("healthy" if each.up else "unhealthy" if each.error else "waiting"),
            format_duration_s(each.duration_seconds),
            each.samples,
            each.error,
        )
        for each in found
    ]
    print_table(columns, rows)


def _target_document(target: pb.MetricsTarget) -> dict[str, Any]:
    keys = ("service", "instance", "address", "up", "duration_seconds", "samples", "error")
    last = target.last_scrape.ToJsonString() if target.HasField("last_scrape") else None
    return {**{key: getattr(target, key) for key in keys}, "last_scrape": last}


def _show_exemplars(found: Sequence[pb.MetricExemplar], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "labels": dict(each.labels),
                    "trace_id": each.trace_id,
                    "value": each.value,
                    "time": each.time.ToJsonString(),
                }
                for each in found
            ]
        )
    elif found:
        columns = [Column("value", "right"), Column("trace"), Column("when"), Column("series")]
        print_table(columns, [_exemplar_row(each) for each in found])
        print_note("What happened in one: lepton trace TRACE")
    else:
        print_note("No sampled call is in these buckets. Sample one: lepton predict MODEL FILE --trace")


def _exemplar_row(each: pb.MetricExemplar) -> tuple[object, ...]:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(each.labels.items()) if name != _NAME)
    when = each.time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    return format_number(each.value), each.trace_id, when, f"{each.labels.get(_NAME, '')} {labels}"
