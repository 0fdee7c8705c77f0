"""What `lepton top` shows: the verdict, what fires, and the KPIs of everything as tables that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from google.protobuf.json_format import MessageToDict
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from lepton_ai.cli.monitoring.figures import format_figure, sparkline
from lepton_ai.cli.monitoring.headline import headline, urgent
from lepton_ai.cli.output import Column, make_table, style_state
from lepton_ai.v1 import alerts_pb2, health_pb2, metrics_pb2

_SPARKLINE_WIDTH = 10
_GAP = 2
"""Between two columns."""


@dataclass(frozen=True)
class _Shown:
    """A column of a KPI, and how much it matters: in a narrow terminal those with large numbers go first."""

    kpi: str
    rank: int
    charted: bool = False


_SECTIONS: tuple[tuple[str, metrics_pb2.KpiScope.ValueType, tuple[str, ...], tuple[_Shown, ...]], ...] = (
    (
        "Models",
        metrics_pb2.KPI_SCOPE_MODEL,
        ("model", "version"),
        (
            _Shown("rate", 1, charted=True),
            _Shown("error_ratio", 2),
            _Shown("p50", 6),
            _Shown("p95", 3, charted=True),
            _Shown("p99", 4),
            _Shown("queue", 5),
            _Shown("batch", 7),
            _Shown("cache_hits", 8),
            _Shown("probe", 9),
        ),
    ),
    (
        "Services",
        metrics_pb2.KPI_SCOPE_SERVICE,
        ("service",),
        (
            _Shown("replicas", 1),
            _Shown("registered", 6),
            _Shown("rate", 2, charted=True),
            _Shown("error_ratio", 3),
            _Shown("p99", 4),
            _Shown("saturation", 7),
            _Shown("cpu", 5, charted=True),
        ),
    ),
    (
        "Processes",
        metrics_pb2.KPI_SCOPE_PROCESS,
        ("service", "instance"),
        (_Shown("up", 2), _Shown("cpu", 1, charted=True), _Shown("memory", 3)),
    ),
    (
        "Machines",
        metrics_pb2.KPI_SCOPE_MACHINE,
        ("instance",),
        (_Shown("cpu", 1, charted=True), _Shown("memory", 2), _Shown("disk", 3), _Shown("gpu", 4)),
    ),
)


class Board:
    """One look at the platform."""

    def __init__(
        self,
        status: health_pb2.PlatformStatus,
        kpis: metrics_pb2.ListKpisResponse,
        alerts: Sequence[alerts_pb2.Alert] = (),
    ) -> None:
        self._status = status
        self._alerts = alerts
        self._kpis = kpis
        self._definitions = {(each.scope, each.name): each for each in kpis.kpis}
        self._states: Mapping[str, str] = {
            **{each.name: _condition(each.condition) for each in status.services},
            **{each.name: _condition(each.condition) for each in status.models},
        }

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "status": MessageToDict(self._status, preserving_proto_field_name=True),
            "alerts": [MessageToDict(each, preserving_proto_field_name=True) for each in self._alerts],
            "kpis": [
                {
                    "scope": metrics_pb2.KpiScope.Name(row.scope).removeprefix("KPI_SCOPE_").lower(),
                    "labels": dict(row.labels),
                    "values": [
                        {"kpi": each.kpi, "kind": each.kind, "value": each.value, "trend": list(each.trend)}
                        for each in row.values
                    ],
                }
                for row in self._kpis.rows
            ],
        }

    def render(self, width: int) -> RenderableType:
        """Something that rich can print into so many columns; 0: as many as it takes."""
        parts: list[RenderableType] = [headline(self._status, self._kpis, self._alerts)]
        parts += [Text(f"• {problem}", style="yellow") for problem in self._status.problems]
        parts += urgent(self._alerts, self._kpis.time.ToDatetime(UTC))
        for title, scope, subject, shown in _SECTIONS:
            rows = [row for row in self._kpis.rows if row.scope == scope]
            if rows:
                parts += [Text(), Text(title, style="bold"), self._table(rows, subject, shown, width)]
        return Group(*parts)

    def _table(
        self, rows: Sequence[metrics_pb2.KpiRow], subject: Sequence[str], shown: Sequence[_Shown], width: int
    ) -> RenderableType:
        there = {value.kpi for row in rows for value in row.values}
        shown = [each for each in shown if each.kpi in there]
        columns = [_subject_column(name, [row.labels[name] for row in rows]) for name in subject]
        if subject[-1] != "instance":  # health judges models and services
            columns.append(_subject_column("state", [self._states.get(row.labels[subject[0]], "") for row in rows]))
        columns += [self._figures(each, rows) for each in shown]
        columns += [_chart(each, rows) for each in shown if each.charted]
        kept = _fitting(columns, width)
        cells = [[_styled(column.title, column.cells[index]) for column in kept] for index in range(len(rows))]
        return make_table([Column(column.title, column.align) for column in kept], cells, framed=False)

    def _figures(self, shown: _Shown, rows: Sequence[metrics_pb2.KpiRow]) -> _Cells:
        definition = self._definitions[rows[0].scope, shown.kpi]
        values = (_value(row, shown.kpi) for row in rows)
        write = _write_probe if shown.kpi == "probe" else format_figure
        cells = [write(each.value, definition.unit) if each is not None else "" for each in values]
        return _Cells(definition.title, cells, shown.rank, "right")


@dataclass(frozen=True)
class _Cells:
    """A column with what stands in it."""

    title: str
    cells: Sequence[str]
    rank: int
    align: Any = "left"

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.title, *self.cells))) + _GAP


def _subject_column(title: str, cells: Sequence[str]) -> _Cells:
    return _Cells(title, cells, 0)


def _chart(shown: _Shown, rows: Sequence[metrics_pb2.KpiRow]) -> _Cells:
    values = (_value(row, shown.kpi) for row in rows)
    cells = [sparkline(each.trend, _SPARKLINE_WIDTH) if each is not None else "" for each in values]
    return _Cells(f"{shown.kpi} ↗", cells, 10 + shown.rank)


def _fitting(columns: Sequence[_Cells], width: int) -> list[_Cells]:
    """Those that fit, in their order; what something is about is never left out."""
    kept = list(columns)
    while width and sum(column.width for column in kept) > width:
        least = max(kept, key=lambda column: column.rank)
        if not least.rank:
            break
        kept.remove(least)
    return kept


def _value(row: metrics_pb2.KpiRow, kpi: str) -> metrics_pb2.KpiValue | None:
    return next((each for each in row.values if each.kpi == kpi), None)


def _write_probe(value: float, _unit: str) -> str:
    return "right" if value else "wrong"


def _styled(title: str, cell: str) -> object:
    return style_state(cell) if title == "state" else cell


def _condition(condition: health_pb2.Condition.ValueType) -> str:
    return health_pb2.Condition.Name(condition).removeprefix("CONDITION_").lower()
