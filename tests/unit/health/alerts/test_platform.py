"""What the observer sees becomes firings: which, how urgent, and after how long."""

from __future__ import annotations

from dataclasses import replace

from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2
from services.health.alerts.firing import Firing
from services.health.alerts.judges.platform import PlatformJudge
from services.health.observe.assessment import assess, mark_stale
from services.health.observe.view import ReplicaCheck, View

UP, GONE = ReplicaCheck(serving=True), ReplicaCheck(serving=False, message="nothing answers there")
TARGET = registry_pb2.WeightedVersion(version=1, weight=1)
SERVED = pb.VersionStatus(model="cats", version=1, state=pb.VERSION_STATE_SERVING, aliases=["production"])
WELL = View(
    replicas={name: {f"{name}:1": UP} for name in ("inference", "preprocess", "registry")},
    deployments={
        "cats": registry_pb2.Deployment(model="cats", routes=[registry_pb2.Route(alias="production", targets=[TARGET])])
    },
    serving=(pb.ServingState(replica="inference:1", versions=[SERVED], triton_ready=True),),
    probes={"cats": pb.ProbeResult(succeeded=True, model_version=1)},
)


class Observer:
    def __init__(self, view: View) -> None:
        self.seen = view
        self.stale_since_ns = 0

    def view(self) -> View:
        return self.seen

    def current(self) -> pb.PlatformStatus:
        status = assess(self.seen)
        if self.stale_since_ns:
            mark_stale(status, self.stale_since_ns)
        return status


async def found(*views: View) -> dict[str, Firing]:
    """What is wrong in the last of these views, after the others."""
    observer = Observer(WELL)
    judge = PlatformJudge(observer)
    firings: list[Firing] = []
    for observer.seen in views:
        firings = list(await judge.judge(0.0))
    return {each.labels["alertname"]: each for each in firings}


async def test_where_all_is_well_nothing_fires() -> None:
    assert await found(WELL) == {}


async def test_a_dead_replica_of_two_is_a_ticket_and_the_only_one_is_a_page() -> None:
    one_of_two = replace(WELL, replicas={**WELL.replicas, "registry": {"a:1": UP, "b:1": GONE}})
    firings = await found(WELL, one_of_two)
    assert dict(firings["ReplicaDown"].labels) == {
        "alertname": "ReplicaDown", "severity": "ticket", "service": "registry", "instance": "b:1",
    }  # fmt: skip
    assert firings["ReplicaDown"].annotations["cause"] == "nothing answers there"
    assert "1 of 2 registry services answer." in firings["ServiceDegraded"].annotations["summary"]
    only = replace(WELL, replicas={**WELL.replicas, "registry": {"a:1": GONE}})
    assert (await found(WELL, only))["ServiceDown"].labels["severity"] == "page"


async def test_what_has_been_well_pages_soon_and_what_never_was_may_be_starting() -> None:
    without = replace(WELL, replicas={**WELL.replicas, "inference": {}})
    assert (await found(WELL, without))["InferenceDown"].pending_s < 5
    assert (await found(without))["InferenceDown"].pending_s > 60
    loading = replace(WELL, serving=(pb.ServingState(replica="inference:1", triton_ready=True),), probes={})
    assert (await found(loading))["ModelDown"].pending_s > 60
    assert (await found(WELL, loading))["ModelDown"].pending_s < 5


async def test_a_failed_test_prediction_is_a_page_of_its_model() -> None:
    failed = pb.ProbeResult(succeeded=False, error="another label", model_version=1)
    firing = (await found(WELL, replace(WELL, probes={"cats": failed})))["ModelDown"]
    assert (firing.labels["model"], firing.labels["severity"]) == ("cats", "page")
    assert "another label" in firing.annotations["cause"]
    assert firing.annotations["impact"] == "callers of cats"


async def test_etcd_triton_the_supervisor_and_the_disk_are_firings() -> None:
    assert (await found(replace(WELL, state_connected=False)))["EtcdDown"].labels["severity"] == "page"
    state = pb.ServingState(replica="inference:1", versions=[SERVED], triton_ready=False)
    assert (await found(replace(WELL, serving=(state,))))["TritonDown"].labels["instance"] == "inference:1"
    firings = await found(replace(WELL, machine={"disk": "The disk is full.", "supervisor": "It is gone."}))
    assert firings["DiskNearlyFull"].annotations["summary"] == "The disk is full."
    assert firings["SupervisorDown"].labels["severity"] == "page"


async def test_that_health_cannot_look_is_a_page_at_once() -> None:
    observer = Observer(WELL)
    observer.stale_since_ns = 1
    firings = {each.labels["alertname"]: each for each in await PlatformJudge(observer).judge(0.0)}
    assert firings["HealthBlind"].pending_s == 0
    assert firings["HealthBlind"].labels["severity"] == "page"


async def test_health_that_did_not_run_for_a_while_looks_before_it_says_that_it_cannot() -> None:
    observer = Observer(WELL)
    judge = PlatformJudge(observer)
    await judge.judge(1000.0)
    observer.stale_since_ns = 1  # the machine slept
    said = [{each.labels["alertname"] for each in await judge.judge(now_s)} for now_s in (1600.0, 1603.0, 1606.0)]
    assert ["HealthBlind" in names for names in said] == [False, False, True]


async def test_every_alert_names_a_section_of_the_runbook_that_is_there() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[4] / "docs" / "runbooks.md").read_text(encoding="utf-8")
    sections = {line.removeprefix("## ").lower() for line in text.splitlines() if line.startswith("## ")}
    bad = View(
        replicas={"inference": {}, "registry": {"a:1": GONE, "b:1": UP}, "preprocess": {}},
        deployments=WELL.deployments, state_connected=False, machine={"disk": "x", "supervisor": "y"},
    )  # fmt: skip
    for firing in (await found(WELL, bad)).values():
        assert firing.annotations["runbook"].partition("#")[2] in sections
