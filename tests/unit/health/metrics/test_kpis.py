"""The table of KPIs: each expression gives the right number of made-up measurements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from lepton_ai.v1 import metrics_pb2 as pb
from services.health.metrics.board import Board, Row, kpi_rows
from services.health.metrics.kpis import KPIS, MACHINE, MODEL, PROCESS, SERVICE, SUBJECTS
from services.health.metrics.series import NAME, Matcher, Series
from services.health.promql.parsing import parse

NOW_S = 1_700_000_000.0


class Measured:
    """A reader of series whose values grow evenly, or stay."""

    def __init__(self) -> None:
        self._series: list[tuple[Mapping[str, str], float, float]] = []

    def grows(self, name: str, per_s: float, **labels: str) -> None:
        self._series.append(({NAME: name, **labels}, 0.0, per_s))

    def stays(self, name: str, value: float, **labels: str) -> None:
        self._series.append(({NAME: name, **labels}, value, 0.0))

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        times = np.arange(NOW_S - 900, NOW_S + 1, 5.0)
        times = times[(times > start_s) & (times <= end_s)]
        return [
            Series(labels, times, value + per_s * (times - (NOW_S - 900)))
            for labels, value, per_s in self._series
            if all(matcher.matches(labels) for matcher in matchers)
        ]


def numbers(rows: Sequence[Row], scope: pb.KpiScope.ValueType, *subject: str) -> dict[str, float]:
    row = next(each for each in rows if each.scope == scope and tuple(each.labels.values()) == subject)
    return {f"{each.kpi.name} {each.kind}".strip(): each.value for each in row.values}


@pytest.fixture
def measured() -> Measured:
    """Two replicas of a model that answer 10 and 30 requests a second, one of them failing 4 a second."""
    found = Measured()
    for instance, rate in (("h:1", 10), ("h:2", 30)):
        of = {"model": "m", "version": "2", "instance": instance, "service": "inference"}
        found.grows("lepton_requests_total", rate, code="OK", **of)
        for bound, share in (("0.01", 0.5), ("0.1", 0.9), ("1", 1.0), ("+Inf", 1.0)):
            found.grows("lepton_request_seconds_bucket", rate * share, le=bound, **of)
        found.grows("lepton_batch_rows_sum", rate, **of)
        found.grows("lepton_batch_rows_count", rate / 4, **of)
        found.grows("lepton_batch_oldest_wait_seconds_sum", rate * 0.002, **of)
        found.grows("lepton_batch_oldest_wait_seconds_count", rate, **of)
        found.grows("lepton_cache_lookups_total", rate, kind="answers", **of)
        found.grows("lepton_cache_local_hits_total", rate / 4, kind="answers", **of)
        found.grows("lepton_cache_shared_hits_total", rate / 4, kind="answers", **of)
        found.stays("lepton_queue_fullness", rate / 40, instance=instance, service="inference")
        found.grows("process_cpu_seconds_total", rate / 100, instance=instance, service="inference")
        found.stays("process_resident_memory_bytes", 1e8, instance=instance, service="inference")
        found.stays("up", float(instance == "h:2"), instance=instance, service="inference")
    bad = {"model": "m", "version": "2", "instance": "h:1", "service": "inference"}
    found.grows("lepton_requests_total", 3, code="UNAVAILABLE", **bad)
    found.grows("lepton_requests_total", 1, code="CANCELLED", **bad)
    found.stays("lepton_probe_success", 1, model="m", version="2", service="health", instance="h:9")
    for cpu in ("0", "1"):
        for mode, share in (("idle", 0.75), ("user", 0.25)):
            found.grows("node_cpu_seconds_total", share, cpu=cpu, mode=mode, service="host", instance="box")
    found.stays("node_memory_MemAvailable_bytes", 4e9, service="host", instance="box")
    found.stays("node_memory_MemTotal_bytes", 16e9, service="host", instance="box")
    for place, free in (("/", 20.0), ("/data", 10.0)):
        found.stays("node_filesystem_size_bytes", 100, mountpoint=place, service="host", instance="box")
        found.stays("node_filesystem_avail_bytes", free, mountpoint=place, service="host", instance="box")
    found.stays("up", 1, service="host", instance="box")
    return found


async def test_a_models_numbers_are_those_of_all_its_replicas(measured: Measured) -> None:
    found = numbers(await kpi_rows(measured, NOW_S), MODEL, "m", "2")
    assert found == pytest.approx(
        {
            "rate": 44,
            "error_ratio": 3 / 44,
            "errors UNAVAILABLE": 3,
            "errors CANCELLED": 1,
            "p50": 0.01,
            "p95": 0.1 + 0.9 * 0.5,
            "p99": 0.1 + 0.9 * 0.9,
            "queue": 0.002,
            "batch": 4,
            "cache_hits": 0.5,
            "probe": 1,
        }
    )


async def test_a_services_numbers(measured: Measured) -> None:
    found = numbers(await kpi_rows(measured, NOW_S), SERVICE, "inference")
    assert found == pytest.approx({"saturation": 0.75, "cpu": 0.4, "replicas": 1, "registered": 2})


async def test_a_process_and_a_machine(measured: Measured) -> None:
    rows = await kpi_rows(measured, NOW_S)
    assert numbers(rows, PROCESS, "inference", "h:1") == pytest.approx({"up": 0, "cpu": 0.1, "memory": 1e8})
    assert numbers(rows, MACHINE, "box") == pytest.approx({"cpu": 0.25, "memory": 0.75, "disk": 0.9})


async def test_a_trend_ends_with_what_is_now(measured: Measured) -> None:
    rows = await kpi_rows(measured, NOW_S, points=10, trend_s=600)
    rate = rows[0].values[0]
    assert len(rate.trend) == 10
    assert rate.trend[-1] == rate.value == pytest.approx(44)


async def test_many_who_look_at_once_cost_one_computation(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def count(*_: object, **__: object) -> list[Row]:
        nonlocal asked
        asked += 1
        return []

    monkeypatch.setattr("services.health.metrics.board.kpi_rows", count)
    board = Board(measured)
    await asyncio.gather(*(board.rows(points=5, trend_s=600.0) for _ in range(10)))
    assert asked == 1
    await board.rows(points=6, trend_s=600.0)
    assert asked == 2
    monkeypatch.setattr("services.health.metrics.board._FRESH_S", 0.0)
    await board.rows(points=5, trend_s=600.0)
    assert asked == 3


async def test_of_nothing_there_is_nothing_to_tell() -> None:
    assert await kpi_rows(Measured(), NOW_S) == []


@pytest.mark.parametrize("kpi", KPIS, ids=lambda kpi: f"{kpi.scope} {kpi.name}")
def test_every_kpi_is_an_expression_with_its_subjects_and_a_sentence(kpi: object) -> None:
    from services.health.metrics.kpis import Kpi

    assert isinstance(kpi, Kpi)
    parse(kpi.expression)
    assert all(label in kpi.expression for label in SUBJECTS[kpi.scope])
    assert kpi.help.endswith(".")
