"""Prometheus metrics of one process: every RPC counted and timed, a registry of its own, a page over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIServer

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.calling.callers import CLIENT

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RECENT_WEIGHT = 0.1
TRACE_ID = "trace_id"
"""Label of exemplars, by the name that Grafana and others look for."""

disable_created_metrics()  # type: ignore[no-untyped-call] # the times at which counters began: as many series again, and nobody reads them


class Metrics:
    """The metrics of one process. Services add theirs to `registry`; never use prometheus_client's global one."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry(target_info={"service_name": service})
        ProcessCollector(registry=self.registry)
        self._rpc_seconds = Histogram(
            "lepton_rpc_server_seconds",
            "Duration of RPCs by method, gRPC status code and calling service.",
            ("method", "code", "caller"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._repeats = Counter(
            "lepton_rpc_server_repeats",
            "Calls that their callers made again (retry) or a second time at once (hedge).",
            ("kind",),
            registry=self.registry,
        )
        self._children: dict[tuple[str, grpc.StatusCode, str], Histogram] = {}
        self._in_flight = 0
        self._recent_s = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        Gauge(
            "lepton_rpc_server_in_flight", "RPCs that are being worked on, streams included.", registry=self.registry
        ).set_function(lambda: self._in_flight)
        self._page: tuple[WSGIServer, threading.Thread] | None = None

    def count_dropped_spans(self, dropped: Callable[[], int]) -> None:
        """Have the page tell how many spans were dropped; read when it is asked for, in another thread."""
        self.registry.register(_DroppedSpans(dropped))

    @property
    def in_flight(self) -> int:
        """RPCs that are being worked on."""
        return self._in_flight

    @property
    def recent_s(self) -> float:
        """The recent latency of the RPCs that are timed: an exponential mean over the last ten or so."""
        return self._recent_s

    async def until_idle(self) -> None:
        """Wait until no RPC is being worked on, not even by a handler whose caller has gone."""
        await self._idle.wait()

    def rpc_started(self) -> None:
        """Note that an RPC has begun."""
        self._in_flight += 1
        self._idle.clear()

    def rpc_repeated(self, kind: str) -> None:
        """Note that an RPC is a repeat: `lepton_ai.mesh.retry.RETRY` or HEDGE."""
        self._repeats.labels(kind).inc()

    def rpc_ended(
        self, method: str, code: grpc.StatusCode, seconds: float | None, trace_id: str = "", *, caller: str = CLIENT
    ) -> None:
        """Note that an RPC has ended; `seconds` None leaves it out of the histogram. `trace_id` of a sampled one
        becomes the exemplar of its bucket. `caller`: see `lepton_ai.mesh.calling.callers`."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()
        if seconds is None:
            return
        self._recent_s += _RECENT_WEIGHT * (seconds - self._recent_s)
        child = self._children.get((method, code, caller))
        if child is None:  # labels() formats and locks; methods × codes × callers are few
            child = self._children[method, code, caller] = self._rpc_seconds.labels(method, code.name, caller)
        child.observe(seconds, {TRACE_ID: trace_id} if trace_id else None)

    def page(self) -> bytes:
        """What the page says now, in OpenMetrics' format. May be called from any thread."""
        page: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return page

    def serve(self, host: str, port: int) -> int:
        """Serve the page on http://host:port/metrics and return the port (0 takes a free one).

        Raises FailedPrecondition when the port is taken.
        """
        try:
            self._page = start_http_server(port, host, self.registry)
        except OSError as error:
            raise FailedPrecondition(
                f"The metrics page cannot listen on port {port} ({error.strerror}).",
                fix="Set LEPTON_METRICS_PORT to a free port, or to 0 for any.",
            ) from error
        return int(self._page[0].server_port)

    def close(self) -> None:
        """Stop serving the page. Blocks for up to half a second: call it from a thread."""
        if self._page is not None:
            server, thread = self._page
            self._page = None
            server.shutdown()
            server.server_close()
            thread.join()


class _DroppedSpans(Collector):
    def __init__(self, dropped: Callable[[], int]) -> None:
        self._dropped = dropped

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "lepton_trace_spans_dropped", "Spans that no collector took.", value=float(self._dropped())
        )
