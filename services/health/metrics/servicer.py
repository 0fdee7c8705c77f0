"""lepton.v1.MetricsService: questions to the store, and what is known of those who are measured."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.mesh.metrics import TRACE_ID
from lepton_ai.v1 import metrics_pb2 as pb
from lepton_ai.v1 import metrics_pb2_grpc
from services.health.metrics.board import Board, Row
from services.health.metrics.kpis import KPIS
from services.health.metrics.scraping.measuring import Measuring
from services.health.metrics.scraping.page import family_of
from services.health.metrics.scraping.scraper import Scraper
from services.health.metrics.scraping.targets import HOST
from services.health.metrics.series import NAME
from services.health.metrics.storage.store import MetricStore
from services.health.promql.evaluation import evaluate, evaluate_range
from services.health.promql.expressions import Selector
from services.health.promql.parsing import parse

SERVICE = "lepton.v1.MetricsService"
_MAX_NUMBERS = 1_000_000
"""In one answer: 16 MB."""
_MAX_POINTS = 120
_TREND_S = 600.0
_MAX_TREND_S = 30 * 86400.0
_MAX_S = 4e9
Context = grpc.aio.ServicerContext[Any, Any]


class MetricsServicer(metrics_pb2_grpc.MetricsServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/metrics.proto."""

    def __init__(self, store: MetricStore, scraper: Scraper) -> None:
        self._store = store
        self._scraper = scraper
        self._board = Board(store)

    async def Query(self, request: pb.QueryRequest, context: Context) -> pb.QueryResponse:  # noqa: N802
        time_s = _seconds(request.time) if request.HasField("time") else time.time()
        found = await evaluate(request.expression, self._store, time_s)
        samples = [pb.MetricSample(labels=each.labels, value=each.value) for each in found]
        return pb.QueryResponse(time=_timestamp(time_s), samples=samples)

    async def QueryRange(self, request: pb.QueryRangeRequest, context: Context) -> pb.QueryRangeResponse:  # noqa: N802
        end_s = _seconds(request.end) if request.HasField("end") else time.time()
        start_s = _seconds(request.start)
        found = await evaluate_range(request.expression, self._store, start_s, end_s, request.step_seconds)
        _check_size(sum(len(each.times_s) for each in found))
        series = [pb.MetricSeries(labels=each.labels, times=each.times_s, values=each.values) for each in found]
        return pb.QueryRangeResponse(series=series)

    async def ListKpis(self, request: pb.ListKpisRequest, context: Context) -> pb.ListKpisResponse:  # noqa: N802
        if not 0 <= request.trend_points <= _MAX_POINTS:
            raise InvalidInput.of_field("trend_points", f"must be 0 to {_MAX_POINTS}")
        trend_s = request.trend_seconds or _TREND_S
        if not 1 <= trend_s <= _MAX_TREND_S:
            raise InvalidInput.of_field("trend_seconds", f"must be 1 to {_MAX_TREND_S:g}")
        now_s, rows = await self._board.rows(points=request.trend_points, trend_s=trend_s)
        return pb.ListKpisResponse(time=_timestamp(now_s), kpis=_definitions(), rows=map(_row, rows))

    async def ListTargets(self, request: pb.ListTargetsRequest, context: Context) -> pb.ListTargetsResponse:  # noqa: N802
        return pb.ListTargetsResponse(targets=map(_target, self._scraper.targets))

    async def ListMetrics(self, request: pb.ListMetricsRequest, context: Context) -> pb.ListMetricsResponse:  # noqa: N802
        families, labels, counts = self._scraper.families(), dict[str, set[str]](), Counter[str]()
        for each in await self._store.series():
            labels.setdefault(each[NAME], set()).update(each)
            counts[each[NAME]] += 1
        described = [
            pb.MetricDescription(name=name, labels=sorted(found - {NAME}), series=counts[name])
            for name, found in sorted(labels.items())
        ]
        for metric in described:
            family = families.get(metric.name) or families.get(family_of(metric.name))
            metric.type, metric.help = (family.type, family.help) if family is not None else ("unknown", "")
        return pb.ListMetricsResponse(metrics=described)

    async def ListExemplars(  # noqa: N802
        self, request: pb.ListExemplarsRequest, context: Context
    ) -> pb.ListExemplarsResponse:
        selector = parse(request.selector)
        if not isinstance(selector, Selector):
            raise InvalidInput.of_field("selector", "is no selector", fix='Write NAME{label="value"}.')
        found = sorted(self._store.exemplars(selector.matchers), key=lambda each: -each[1].value)
        exemplars = [
            pb.MetricExemplar(
                labels=labels, trace_id=each.labels[TRACE_ID], value=each.value, time=_timestamp(each.time_s)
            )
            for labels, each in found
            if TRACE_ID in each.labels
        ]
        return pb.ListExemplarsResponse(exemplars=exemplars)


def _definitions() -> list[pb.Kpi]:
    return [
        pb.Kpi(name=kpi.name, scope=kpi.scope, title=kpi.title, unit=kpi.unit, help=kpi.help, expression=kpi.expression)
        for kpi in KPIS
    ]


def _row(row: Row) -> pb.KpiRow:
    values = [pb.KpiValue(kpi=each.kpi.name, kind=each.kind, value=each.value, trend=each.trend) for each in row.values]
    return pb.KpiRow(scope=row.scope, labels=row.labels, values=values)


def _target(measuring: Measuring) -> pb.MetricsTarget:
    target, last = measuring.target, measuring.last
    shown = pb.MetricsTarget(
        service=target.service,
        instance=target.instance,
        address="" if target.service == HOST or target.address.startswith("unix:") else target.address,
        up=last.up,
        duration_seconds=last.duration_s,
        samples=last.samples,
        error=last.error,
    )
    if last.at_s:
        shown.last_scrape.CopyFrom(_timestamp(last.at_s))
    return shown


def _check_size(numbers: int) -> None:
    if numbers > _MAX_NUMBERS:
        raise ResourceExhausted(
            f"The answer would have {numbers:,} numbers, {_MAX_NUMBERS:,} are the most.",
            reason="TOO_MANY_SAMPLES",
            fix="Ask for fewer series, a shorter time or a longer step.",
        )


def _seconds(time: Timestamp) -> float:
    seconds = time.seconds + time.nanos / 1e9
    if not 0 <= seconds <= _MAX_S:
        raise InvalidInput.of_field("time", "lies outside of the years that can be asked for")
    return seconds


def _timestamp(time_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(max(0, int(min(time_s, _MAX_S) * 1e9)))
    return stamp
