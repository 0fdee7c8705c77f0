from __future__ import annotations

from dataclasses import replace

import pytest

from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2
from services.health.observe.assessment import assess, mark_stale
from services.health.observe.view import ReplicaCheck, View

UP, DOWN = ReplicaCheck(serving=True), ReplicaCheck(serving=False, message="it does not answer")
REPLICAS = {"inference": {"a:1": UP}, "preprocess": {"b:1": UP, "b:2": UP}, "registry": {"c:1": UP}}


def deployment(version: int = 1) -> registry_pb2.Deployment:
    target = registry_pb2.WeightedVersion(version=version, weight=1)
    route = registry_pb2.Route(alias="production", targets=[target])
    return registry_pb2.Deployment(model="m", routes=[route])


def serving(*versions: pb.VersionStatus, triton_ready: bool = True) -> pb.ServingState:
    return pb.ServingState(replica="a:1", versions=versions, triton_ready=triton_ready)


def version(number: int, state: pb.VersionState.ValueType, *, routed: bool = False) -> pb.VersionStatus:
    return pb.VersionStatus(model="m", version=number, state=state, aliases=["production"] if routed else [])


WORKING = View(
    replicas=REPLICAS,
    deployments={"m": deployment()},
    serving=(serving(version(1, pb.VERSION_STATE_SERVING, routed=True)),),
    probes={"m": pb.ProbeResult(succeeded=True, model_version=1)},
)


def test_a_platform_in_which_everything_works_is_healthy_and_has_no_problems() -> None:
    status = assess(WORKING)
    assert status.condition == pb.CONDITION_HEALTHY
    assert not status.problems


def test_a_missing_service_degrades_the_platform_and_says_what_to_do() -> None:
    status = assess(replace(WORKING, replicas={**REPLICAS, "preprocess": {}}))
    assert status.condition == pb.CONDITION_DEGRADED
    assert status.problems == ["No preprocess service is registered. Start one, or see its log."]


def test_fewer_replicas_than_were_asked_for_degrade_their_service() -> None:
    status = assess(replace(WORKING, expected_replicas={"inference": 1, "preprocess": 3}))
    assert status.condition == pb.CONDITION_DEGRADED
    assert status.problems == ["2 of 3 preprocess services are registered. See the log of the rest."]


def test_a_problem_of_the_machine_degrades_the_platform() -> None:
    status = assess(replace(WORKING, machine={"disk": "The disk is full."}))
    assert status.condition == pb.CONDITION_DEGRADED
    assert status.problems == ["The disk is full."]


def test_without_inference_the_platform_is_unhealthy() -> None:
    assert assess(replace(WORKING, replicas={**REPLICAS, "inference": {}})).condition == pb.CONDITION_UNHEALTHY


def test_one_failing_replica_of_two_degrades_its_service() -> None:
    status = assess(replace(WORKING, replicas={**REPLICAS, "preprocess": {"b:1": UP, "b:2": DOWN}}))
    conditions = {service.name: service.condition for service in status.services}
    assert conditions["preprocess"] == pb.CONDITION_DEGRADED
    assert status.problems == ["preprocess at b:2: it does not answer"]


def test_a_failed_test_prediction_makes_the_model_unhealthy_though_everything_says_it_serves() -> None:
    probe = pb.ProbeResult(succeeded=False, error="the answer is wrong", model_version=1)
    status = assess(replace(WORKING, probes={"m": probe}))
    assert status.models[0].condition == pb.CONDITION_UNHEALTHY
    assert "the answer is wrong" in status.models[0].message


@pytest.mark.parametrize(
    ("versions", "condition", "words"),
    [
        ([], pb.CONDITION_UNHEALTHY, "No inference replica"),
        ([version(2, pb.VERSION_STATE_LOADING)], pb.CONDITION_UNHEALTHY, "is being loaded"),
        (
            [version(1, pb.VERSION_STATE_SERVING, routed=True), version(2, pb.VERSION_STATE_FAILED)],
            pb.CONDITION_DEGRADED,
            "cannot be served",
        ),
        (
            [version(1, pb.VERSION_STATE_SERVING, routed=True), version(2, pb.VERSION_STATE_LOADING)],
            pb.CONDITION_DEGRADED,
            "still go to the version before",
        ),
    ],
)
def test_a_model_on_its_way_to_a_new_version_says_where_it_stands(
    versions: list[pb.VersionStatus], condition: pb.Condition.ValueType, words: str
) -> None:
    view = replace(WORKING, deployments={"m": deployment(2)}, serving=(serving(*versions),))
    model = assess(view).models[0]
    assert model.condition == condition
    assert words in model.message


@pytest.mark.parametrize(
    "late",
    [
        [version(1, pb.VERSION_STATE_SERVING, routed=True)],
        [version(1, pb.VERSION_STATE_SERVING, routed=True), version(2, pb.VERSION_STATE_LOADING)],
        [version(1, pb.VERSION_STATE_SERVING, routed=True), version(2, pb.VERSION_STATE_SERVING)],
    ],
    ids=["has not heard of it", "loads it", "calls go elsewhere"],
)
def test_a_version_is_served_when_every_replica_sends_calls_to_it(late: list[pb.VersionStatus]) -> None:
    moved = serving(version(2, pb.VERSION_STATE_SERVING, routed=True))
    probes = {"m": pb.ProbeResult(succeeded=True, model_version=2)}
    view = replace(WORKING, deployments={"m": deployment(2)}, serving=(moved, serving(*late)), probes=probes)
    assert assess(view).models[0].condition == pb.CONDITION_DEGRADED
    assert assess(replace(view, serving=(moved, moved))).models[0].condition == pb.CONDITION_HEALTHY


def test_a_dead_triton_degrades_the_platform_even_before_a_probe_fails() -> None:
    routed = version(1, pb.VERSION_STATE_SERVING, routed=True)
    status = assess(replace(WORKING, serving=(serving(routed, triton_ready=False),)))
    assert status.condition == pb.CONDITION_DEGRADED


def test_without_etcd_the_last_known_view_stands_and_is_called_so() -> None:
    status = assess(replace(WORKING, state_connected=False))
    assert status.condition == pb.CONDITION_DEGRADED
    assert "etcd does not answer" in status.problems[0]


def test_a_stale_status_keeps_what_was_known_and_calls_nothing_of_it_healthy() -> None:
    status = assess(WORKING)
    mark_stale(status, 1_795_258_201_000_000_000)
    assert status.stale_since.ToNanoseconds() == 1_795_258_201_000_000_000
    assert status.condition == status.models[0].condition == pb.CONDITION_DEGRADED
    assert [each.condition for each in status.services] == [pb.CONDITION_DEGRADED] * 3
    assert status.models[0].message == "Stale since 2026-11-21 10:50:01 UTC."
    assert status.problems[0].startswith("Stale since 2026-11-21 10:50:01 UTC: ")
    assert status.models[0].last_probe.succeeded


def test_what_does_not_work_is_not_made_better_by_being_stale() -> None:
    status = assess(replace(WORKING, replicas={**REPLICAS, "inference": {}}))
    mark_stale(status, 1)
    assert status.condition == pb.CONDITION_UNHEALTHY
