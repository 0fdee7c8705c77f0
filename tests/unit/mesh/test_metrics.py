"""RPCs are counted by method and code in a registry of the process's own."""

from __future__ import annotations

import grpc
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition

from lepton_ai.mesh.metrics import Metrics


def page(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_calls_are_counted_by_method_and_code() -> None:
    metrics = Metrics("test")
    for code in (grpc.StatusCode.OK, grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND):
        metrics.rpc_started()
        metrics.rpc_ended("pkg.S/M", code, 0.02)
    assert 'lepton_rpc_server_seconds_count{caller="client",code="OK",method="pkg.S/M"} 2.0' in page(metrics)
    assert 'lepton_rpc_server_seconds_count{caller="client",code="NOT_FOUND",method="pkg.S/M"} 1.0' in page(metrics)
    assert 'lepton_rpc_server_seconds_bucket{caller="client",code="OK",le="0.01",method="pkg.S/M"} 0.0' in page(metrics)


def test_calls_in_flight_are_shown() -> None:
    metrics = Metrics("test")
    metrics.rpc_started()
    assert "lepton_rpc_server_in_flight 1.0" in page(metrics)
    metrics.rpc_ended("pkg.S/M", grpc.StatusCode.OK, None)
    assert "lepton_rpc_server_in_flight 0.0" in page(metrics)
    assert "lepton_rpc_server_seconds_count" not in page(metrics)


def test_a_sampled_call_is_the_exemplar_of_its_bucket_and_others_cost_none() -> None:
    metrics = Metrics("test")
    for trace_id in ("", "0af7651916cd43dd8448eb211c80319c"):
        metrics.rpc_started()
        metrics.rpc_ended("pkg.S/M", grpc.StatusCode.OK, 0.02, trace_id)
    lines = exposition.generate_latest(metrics.registry).decode().splitlines()  # type: ignore[no-untyped-call]
    told = [line for line in lines if "# {" in line]
    assert len(told) == 1
    assert 'le="0.025"' in told[0]
    assert '# {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.02 ' in told[0]


def test_when_counters_began_is_not_told() -> None:
    metrics = Metrics("test")
    metrics.rpc_ended("pkg.S/M", grpc.StatusCode.OK, 0.02)
    assert "_created" not in page(metrics)


def test_two_processes_worth_of_metrics_live_side_by_side() -> None:
    first, second = Metrics("first"), Metrics("second")
    first.rpc_started()
    assert "lepton_rpc_server_in_flight 0.0" in page(second)
    assert 'service_name="first"' in page(first)
