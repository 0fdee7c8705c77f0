"""RPCs are counted by method and code in a registry of the process's own."""

from __future__ import annotations

import grpc
from prometheus_client import generate_latest

from lepton_ai.mesh.metrics import Metrics


def page(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_calls_are_counted_by_method_and_code() -> None:
    metrics = Metrics("test")
    for code in (grpc.StatusCode.OK, grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND):
        metrics.rpc_started()
        metrics.rpc_ended("pkg.S/M", code, 0.02)
    assert 'lepton_rpc_server_seconds_count{code="OK",method="pkg.S/M"} 2.0' in page(metrics)
    assert 'lepton_rpc_server_seconds_count{code="NOT_FOUND",method="pkg.S/M"} 1.0' in page(metrics)
    assert 'lepton_rpc_server_seconds_bucket{code="OK",le="0.01",method="pkg.S/M"} 0.0' in page(metrics)


def test_calls_in_flight_are_shown() -> None:
    metrics = Metrics("test")
    metrics.rpc_started()
    assert "lepton_rpc_server_in_flight 1.0" in page(metrics)
    metrics.rpc_ended("pkg.S/M", grpc.StatusCode.OK, None)
    assert "lepton_rpc_server_in_flight 0.0" in page(metrics)
    assert "lepton_rpc_server_seconds_count" not in page(metrics)


def test_two_processes_worth_of_metrics_live_side_by_side() -> None:
    first, second = Metrics("first"), Metrics("second")
    first.rpc_started()
    assert "lepton_rpc_server_in_flight 0.0" in page(second)
    assert 'service_name="first"' in page(first)
