"""What health has seen stands on its metrics page."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry, generate_latest

from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2
from services.health.observe.measures import ViewCollector
from services.health.observe.view import ReplicaCheck, View


def page(view: View) -> set[str]:
    registry = CollectorRegistry()
    ViewCollector(registry, lambda: view, lambda: 1_700_000_000_500_000_000)
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def deployment(model: str, version: int) -> registry_pb2.Deployment:
    target = registry_pb2.WeightedVersion(version=version, weight=1)
    return registry_pb2.Deployment(model=model, routes=[registry_pb2.Route(alias="production", targets=[target])])


def test_replicas_are_counted_by_what_they_say_beside_how_many_should_be() -> None:
    checks = {"a:1": ReplicaCheck(serving=True), "b:1": ReplicaCheck(serving=False), "c:1": None}
    found = page(View(replicas={"inference": checks}, expected_replicas={"inference": 4}))
    assert 'lepton_replicas{of_service="inference",state="serving"} 2.0' in found
    assert 'lepton_replicas{of_service="inference",state="failing"} 1.0' in found
    assert 'lepton_replicas_expected{of_service="inference"} 4.0' in found
    assert 'lepton_replicas{of_service="registry",state="serving"} 0.0' in found
    assert 'lepton_replicas_expected{of_service="registry"} 1.0' in found


def test_etcd_triton_and_the_last_look_are_there() -> None:
    serving = (pb.ServingState(replica="a:1", triton_ready=True, triton_restarts=3), pb.ServingState(replica="b:1"))
    found = page(View(serving=serving, state_connected=False))
    assert {"lepton_state_connected 0.0", "lepton_observed_timestamp_seconds 1.7000000005e+09"} <= found
    assert {'lepton_triton_ready{replica="a:1"} 1.0', 'lepton_triton_ready{replica="b:1"} 0.0'} <= found
    assert 'lepton_triton_restarts_total{replica="a:1"} 3.0' in found


def test_a_model_has_its_version_who_serves_it_and_its_probe() -> None:
    ready = pb.VersionStatus(model="猫", version=2, state=pb.VERSION_STATE_SERVING)
    loading = pb.VersionStatus(model="猫", version=2, state=pb.VERSION_STATE_LOADING)
    probe = pb.ProbeResult(succeeded=False, duration_us=1500, probed_at=Timestamp(seconds=1000), model_version=2)
    found = page(
        View(
            deployments={"猫": deployment("猫", 2), "new": deployment("new", 1)},
            serving=(pb.ServingState(versions=[ready]), pb.ServingState(versions=[loading])),
            probes={"猫": probe, "deleted": probe},
        )
    )
    assert {
        'lepton_model_deployed{model="猫",version="2"} 1.0',
        'lepton_model_serving_replicas{model="猫",version="2"} 1.0',
        'lepton_model_serving_replicas{model="new",version="1"} 0.0',
        'lepton_probe_success{model="猫",version="2"} 0.0',
        'lepton_probe_seconds{model="猫",version="2"} 0.0015',
        'lepton_probe_timestamp_seconds{model="猫",version="2"} 1000.0',
    } <= found
    assert not any("deleted" in line or 'probe_success{model="new"' in line for line in found)
