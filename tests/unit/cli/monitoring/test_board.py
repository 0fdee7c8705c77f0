"""What `lepton top` shows, in terminals of all widths."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from lepton_ai.cli.monitoring.board import Board
from lepton_ai.cli.output import json_text
from lepton_ai.v1 import alerts_pb2, health_pb2, metrics_pb2
from services.health.metrics.servicer import _definitions

NAN = float("nan")


def value(kpi: str, number: float, *trend: float, kind: str = "") -> metrics_pb2.KpiValue:
    return metrics_pb2.KpiValue(kpi=kpi, kind=kind, value=number, trend=trend)


def alert(severity: str, summary: str, **more: object) -> alerts_pb2.Alert:
    labels = {"alertname": "Any", "severity": severity}
    state = alerts_pb2.ALERT_STATE_FIRING
    told = {"fingerprint": "3f2a9c0d11", "judge": "slo", "state": state, **more}
    return alerts_pb2.Alert(labels=labels, annotations={"summary": summary}, **told)  # type: ignore[arg-type]


def board(problems: tuple[str, ...] = (), alerts: tuple[alerts_pb2.Alert, ...] = ()) -> Board:
    status = health_pb2.PlatformStatus(condition=health_pb2.CONDITION_DEGRADED, problems=problems)
    status.models.add(name="图像分类", condition=health_pb2.CONDITION_HEALTHY)
    status.services.add(name="inference", condition=health_pb2.CONDITION_UNHEALTHY)
    rows = [
        metrics_pb2.KpiRow(
            scope=metrics_pb2.KPI_SCOPE_MODEL,
            labels={"model": "图像分类", "version": "3"},
            values=[
                value("rate", 12.5, 1, 2, NAN, 12.5),
                value("error_ratio", 0.02),
                value("errors", 0.25, kind="UNAVAILABLE"),
                value("p95", 0.041, 0.04, 0.041),
                value("p99", 0.2),
                value("batch", 3.5),
                value("probe", 0.0),
            ],
        ),
        metrics_pb2.KpiRow(
            scope=metrics_pb2.KPI_SCOPE_SERVICE,
            labels={"service": "inference"},
            values=[value("replicas", 1), value("registered", 2), value("cpu", 0.5)],
        ),
        metrics_pb2.KpiRow(
            scope=metrics_pb2.KPI_SCOPE_MACHINE, labels={"instance": "[red]host"}, values=[value("memory", 0.5)]
        ),
    ]
    return Board(status, metrics_pb2.ListKpisResponse(kpis=_definitions(), rows=rows), alerts)


def shown(width: int, **options: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=width or 10_000).print(board(**options).render(width))
    return out.getvalue()


def test_everything_is_shown_where_there_is_room() -> None:
    text = shown(0, problems=("The disk is nearly full.",))
    for part in (
        "degraded",
        "1 problem",
        "The disk is nearly full.",
        "图像分类",
        "12.5/s",
        "2 %",
        "41 ms",
        "200 ms",
        "wrong",
    ):
        assert part in text
    assert "▁" in text
    assert "unhealthy" in text
    assert "[red]host" in text, "names are not markup"
    assert "Processes" not in text, "there are none"


@pytest.mark.parametrize("width", [30, 45, 60, 80, 120, 200])
def test_no_line_is_longer_than_the_terminal_and_the_subject_is_always_there(width: int) -> None:
    lines = shown(width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any("图像分类" in line and "3" in line for line in lines)


def test_what_matters_least_goes_first() -> None:
    assert "batch" in shown(120)
    narrow = shown(50)
    assert "batch" not in narrow
    assert "rate" in narrow


def test_programs_get_all_of_it() -> None:
    document = json.loads(json_text(board().document()))
    assert document["status"]["condition"] == "CONDITION_DEGRADED"
    model = document["kpis"][0]
    assert (model["scope"], model["labels"]["model"]) == ("model", "图像分类")
    assert model["values"][0] == {"kpi": "rate", "kind": "", "value": 12.5, "trend": [1, 2, None, 12.5]}
    assert model["values"][2]["kind"] == "UNAVAILABLE"


SEEN = (
    alert("ticket", "快坏了", acknowledgement=alerts_pb2.Acknowledgement(who="anna")),
    alert("page", "[red]模型 burns"),
    alert("page", "silenced", silenced_by="1"),
    alert("page", "follows", inhibited_by="2"),
    alert("page", "pending", state=alerts_pb2.ALERT_STATE_PENDING),
    alert("page", "of the status", judge="platform"),
)


def test_the_first_line_counts_what_fires_and_what_comes_in() -> None:
    first = shown(0, alerts=SEEN).splitlines()[0]
    assert "3 alerts (2 pages, 1 ticket; 1 looked after)" in first
    assert "12.5/s, 2 % fail" in first
    assert "no alerts" in shown(0).splitlines()[0]


def test_the_most_urgent_alerts_follow_with_what_shows_more_of_them() -> None:
    lines = [line for line in shown(0, alerts=SEEN).splitlines() if line.startswith("▲")]
    assert [line.split(" ")[1] for line in lines] == ["page", "ticket"]
    assert "[red]模型 burns" in lines[0]
    assert "lepton alerts show 3f2a9c0d" in lines[0]
    assert "anna looks after it" in lines[1]


def test_many_alerts_leave_room_for_the_tables() -> None:
    text = shown(0, alerts=tuple(alert("page", f"fault {number}") for number in range(9)))
    assert text.count("▲") == 3
    assert "and 6 more: lepton alerts" in text


def test_alerts_fit_a_narrow_terminal() -> None:
    assert max(map(cell_len, shown(40, alerts=SEEN).splitlines())) <= 40


def test_programs_get_the_alerts() -> None:
    document = json.loads(json_text(board(alerts=SEEN).document()))
    assert document["alerts"][1]["annotations"]["summary"] == "[red]模型 burns"
