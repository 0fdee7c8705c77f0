"""Measurements of the platform as a client reads them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from lepton_ai.client.connections import BlockingClient, ConnectedClient
from lepton_ai.v1 import metrics_pb2, metrics_pb2_grpc

T = TypeVar("T")


class Measurements:
    """The part of `AsyncClient` for measurements."""

    async def metrics(
        self: ConnectedClient, expression: str, *, since_s: float = 0.0, step_s: float = 15.0
    ) -> Sequence[metrics_pb2.MetricSeries]:
        """What a PromQL expression is now; with `since_s`, what it was every `step_s` over that time.

        Raises InvalidInput for a wrong expression, ResourceExhausted for too much at once.
        """
        if not since_s:
            question = metrics_pb2.QueryRequest(expression=expression)
            now = await _call(self, lambda stub, left_s: stub.Query(question, timeout=left_s))
            at_s = now.time.ToNanoseconds() / 1e9
            samples: Sequence[metrics_pb2.MetricSample] = now.samples
            return [metrics_pb2.MetricSeries(labels=each.labels, times=[at_s], values=[each.value]) for each in samples]
        request = metrics_pb2.QueryRangeRequest(expression=expression, step_seconds=step_s)
        end_ns = time.time_ns()
        request.start.FromNanoseconds(max(0, end_ns - round(since_s * 1e9)))
        request.end.FromNanoseconds(end_ns)
        found = await _call(self, lambda stub, left_s: stub.QueryRange(request, timeout=left_s))
        return list(found.series)

    async def kpis(
        self: ConnectedClient, *, trend_points: int = 0, trend_s: float = 600.0
    ) -> metrics_pb2.ListKpisResponse:
        """The numbers that matter, of models, services, processes and machines; with earlier values of the last
        `trend_s`."""
        request = metrics_pb2.ListKpisRequest(trend_points=trend_points, trend_seconds=trend_s)
        found: metrics_pb2.ListKpisResponse
        found = await _call(self, lambda stub, left_s: stub.ListKpis(request, timeout=left_s))
        return found

    async def metric_targets(self: ConnectedClient) -> Sequence[metrics_pb2.MetricsTarget]:
        """Which processes are measured, and how that went last."""
        request = metrics_pb2.ListTargetsRequest()
        found = await _call(self, lambda stub, left_s: stub.ListTargets(request, timeout=left_s))
        return list(found.targets)

    async def metric_names(self: ConnectedClient) -> Sequence[metrics_pb2.MetricDescription]:
        """The metrics of the last hours, with what they mean."""
        request = metrics_pb2.ListMetricsRequest()
        found = await _call(self, lambda stub, left_s: stub.ListMetrics(request, timeout=left_s))
        return list(found.metrics)

    async def exemplars(self: ConnectedClient, selector: str) -> Sequence[metrics_pb2.MetricExemplar]:
        """Traces behind the buckets of histograms, the slowest first: `lepton_request_seconds_bucket{model="m"}`."""
        request = metrics_pb2.ListExemplarsRequest(selector=selector)
        found = await _call(self, lambda stub, left_s: stub.ListExemplars(request, timeout=left_s))
        return list(found.exemplars)


class BlockingMeasurements:
    """The same of `Client`."""

    def metrics(
        self: BlockingClient, expression: str, *, since_s: float = 0.0, step_s: float = 15.0
    ) -> Sequence[metrics_pb2.MetricSeries]:
        """See AsyncClient.metrics."""
        found: Sequence[metrics_pb2.MetricSeries] = self._run("metrics", expression, since_s=since_s, step_s=step_s)
        return found

    def kpis(self: BlockingClient, *, trend_points: int = 0, trend_s: float = 600.0) -> metrics_pb2.ListKpisResponse:
        """See AsyncClient.kpis."""
        found: metrics_pb2.ListKpisResponse = self._run("kpis", trend_points=trend_points, trend_s=trend_s)
        return found

    def metric_targets(self: BlockingClient) -> Sequence[metrics_pb2.MetricsTarget]:
        """See AsyncClient.metric_targets."""
        found: Sequence[metrics_pb2.MetricsTarget] = self._run("metric_targets")
        return found

    def metric_names(self: BlockingClient) -> Sequence[metrics_pb2.MetricDescription]:
        """See AsyncClient.metric_names."""
        found: Sequence[metrics_pb2.MetricDescription] = self._run("metric_names")
        return found

    def exemplars(self: BlockingClient, selector: str) -> Sequence[metrics_pb2.MetricExemplar]:
        """See AsyncClient.exemplars."""
        found: Sequence[metrics_pb2.MetricExemplar] = self._run("exemplars", selector)
        return found


async def _call(client: ConnectedClient, invoke: Callable[[Any, float], Awaitable[T]]) -> T:
    return await client._connections.call(
        "health",
        lambda channel, left_s: invoke(metrics_pb2_grpc.MetricsServiceStub(channel), left_s),
        client._timeout_s,
    )
