"""Spans reach a real OTLP collector; without one nothing blocks, grows or makes noise."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from lepton_ai.mesh.tracing import Tracing
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.testing import eventually, quick_settings


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.names: list[str] = []
        self.resources: list[dict[str, str]] = []

    def Export(  # noqa: N802
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.names += [
            span.name for each in request.resource_spans for scope in each.scope_spans for span in scope.spans
        ]
        for each in request.resource_spans:
            self.resources.append({pair.key: pair.value.string_value for pair in each.resource.attributes})
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting(address: str = "127.0.0.1:0") -> Iterator[tuple[_Collector, str]]:
    collector = _Collector()
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port(address)
        server.start()
        try:
            yield collector, f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


def free_address() -> str:
    """The address of a collector that is gone."""
    with collecting() as (_, address):
        return address


def tracing_to(address: str) -> Tracing:
    return Tracing.create("test", quick_settings(otlp_endpoint=address, trace_ratio=1.0))


async def test_spans_arrive_within_a_second_or_two_without_a_flush() -> None:
    with collecting() as (collector, address):
        tracing = tracing_to(address)
        tracing.begin("work", parent=EMPTY).end()
        await eventually(lambda: collector.names == ["work"], description="the span has arrived")
        tracing.shutdown()


async def test_spans_say_which_process_made_them() -> None:
    with collecting() as (collector, address):
        for _ in range(2):  # of one service
            tracing = tracing_to(address)
            tracing.begin("work", parent=EMPTY).end()
            tracing.shutdown()
        assert [each["service.name"] for each in collector.resources] == ["test", "test"]
        assert len({each["service.instance.id"] for each in collector.resources}) == 2


async def test_without_a_collector_work_goes_on_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tracing = tracing_to(free_address())
    start_s = time.monotonic()
    for _ in range(20_000):  # more than the queue holds
        tracing.begin("work", parent=EMPTY).end()
    assert time.monotonic() - start_s < 10
    shutdown_s = time.monotonic()
    tracing.shutdown(timeout_s=0.5)
    assert time.monotonic() - shutdown_s < 4
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert len(lines) == 1
    assert "no collector" in lines[0]


async def test_a_collector_that_comes_back_is_used_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    address = free_address()
    tracing = tracing_to(address)
    tracing.begin("lost", parent=EMPTY).end()
    tracing.flush(timeout_s=0.2)
    with collecting(address) as (collector, _):
        await eventually(
            lambda: sends_and_finds(tracing, "work", collector), timeout_s=10, description="spans arrive again"
        )
        tracing.shutdown()
    lines = [record.getMessage() for record in caplog.records if record.name == "lepton_ai.mesh.tracing.export"]
    assert len(lines) == 2
    assert "is back; 1 spans were dropped" in lines[1]


def sends_and_finds(tracing: Tracing, name: str, collector: _Collector) -> bool:
    tracing.begin(name, parent=EMPTY).end()
    return name in collector.names
