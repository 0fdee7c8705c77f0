"""What pages are told: small enough to be sent whole, and true."""

from __future__ import annotations

import json
import math

from lepton_ai.v1 import health_pb2 as pb
from services.health.console.calls import CALLS
from services.health.console.digest import digest
from services.health.console.figures import figures
from services.health.console.traced import edges, line
from tests import topology


def test_a_huge_platform_is_told_in_few_words() -> None:
    replicas = [f"10.0.0.{number}:8500" for number in range(50)]
    status = pb.PlatformStatus(condition=pb.CONDITION_HEALTHY)
    status.services.add(
        name="inference", replicas=[pb.ReplicaStatus(address=each, condition=pb.CONDITION_HEALTHY) for each in replicas]
    )
    for number in range(100):
        served = [
            pb.ServedVersion(
                replica=each, status=pb.VersionStatus(model=f"m{number}", version=1, state=pb.VERSION_STATE_SERVING)
            )
            for each in replicas
        ]
        status.models.add(name=f"m{number}", condition=pb.CONDITION_HEALTHY, production_version=1, served=served)
    told = digest(status)
    assert told["models"][0]["versions"] == [{"version": 1, "replicas": {"serving": 50}, "message": ""}]
    assert len(json.dumps(told)) < 30_000


def test_a_probe_that_only_took_another_time_is_no_change() -> None:
    def status(duration_us: int) -> pb.PlatformStatus:
        model = pb.ModelStatus(name="digits", last_probe=pb.ProbeResult(succeeded=True, duration_us=duration_us))
        model.last_probe.probed_at.FromSeconds(duration_us)
        status = pb.PlatformStatus(models=[model])
        status.observed_at.FromSeconds(duration_us)
        return status

    assert digest(status(10)) == digest(status(20))


def test_a_problem_knows_what_it_is_about_and_what_shows_more() -> None:
    status = pb.PlatformStatus()
    status.models.add(name="digits", message="A test prediction failed: no answer")
    status.services.add(name="registry", replicas=[pb.ReplicaStatus(address="a:1", message="nothing answers there")])
    status.problems.extend(
        [
            "registry at a:1: nothing answers there",
            "Model digits: A test prediction failed: no answer",
            "The disk is nearly full.",
        ]
    )
    about = [(each["kind"], each["name"], each["command"]) for each in digest(status)["problems"]]
    assert about == [
        ("service", "registry", "lepton logs registry -n 100"),
        ("model", "digits", "lepton models digits"),
        ("platform", "", "lepton health"),
    ]


def test_a_version_that_fails_says_why() -> None:
    status = pb.PlatformStatus()
    failed = pb.VersionStatus(model="digits", version=2, state=pb.VERSION_STATE_FAILED, message="out of memory")
    fine = pb.VersionStatus(model="digits", version=2, state=pb.VERSION_STATE_SERVING)
    served = [pb.ServedVersion(replica="a", status=failed), pb.ServedVersion(replica="b", status=fine)]
    status.models.add(name="digits", served=served)
    (version,) = digest(status)["models"][0]["versions"]
    assert version == {"version": 2, "replicas": {"failed": 1, "serving": 1}, "message": "out of memory"}


def test_figures_are_rounded_and_only_drawn_trends_are_told() -> None:
    value = {"kind": "", "value": 0.123456, "trend": ["NaN", 0.5]}
    row = {"scope": "KPI_SCOPE_MODEL", "labels": {"model": "digits"}}
    values = [
        {"kpi": "rate", **value},
        {"kpi": "p95", **value},
        {"kpi": "errors", "kind": "INTERNAL", "value": "NaN", "trend": []},
    ]
    kpi = {"name": "rate", "scope": "KPI_SCOPE_MODEL", "title": "rate", "unit": "1/s", "help": "", "expression": "x"}
    told = figures({"rows": [{**row, "values": values}], "kpis": [kpi]})
    assert told["rows"]["model"] == [
        {
            "labels": {"model": "digits"},
            "numbers": {"rate": 0.1235, "p95": 0.1235},
            "kinds": {"errors": {"INTERNAL": None}},
            "trend": [None, 0.5],
        }
    ]
    assert told["kpis"][0]["expression"] == "x"
    assert math.isfinite(told["rows"]["model"][0]["trend"][1])


def trace(*, error: bool = False, duration_us: int = 1000) -> dict[str, object]:
    """A call from a client into inference, in Jaeger's JSON."""
    tags = [{"key": "lepton.model.name", "value": "digits"}, {"key": "lepton.model.version", "value": 3}]
    spans = [
        {
            "traceID": "a" * 32,
            "spanID": f"{number}" * 16,
            "operationName": "Predict",
            "processID": f"p{number}",
            "startTime": 1_000_000 + number,
            "duration": duration_us,
            "references": [{"refType": "CHILD_OF", "traceID": "a" * 32, "spanID": "1" * 16}] if number == 2 else [],
            "tags": [*tags, *([{"key": "error", "value": True}] if error and number == 2 else [])],
            "logs": [],
        }
        for number in (1, 2)
    ]
    processes = {f"p{number}": {"serviceName": name, "tags": []} for number, name in ((1, "client"), (2, "inference"))}
    return {"traceID": "a" * 32, "spans": spans, "processes": processes}


def test_a_trace_in_one_line() -> None:
    told = line(trace(error=True))
    assert (told["service"], told["operation"], told["spans"], told["errors"]) == ("client", "Predict", 2, 1)
    assert told["models"] == ["digits@3"]


def test_calls_between_services_with_their_errors_and_times() -> None:
    told = edges([trace(), trace(), trace(error=True, duration_us=9000)])
    assert told["traces"] == 3
    assert told["edges"] == [
        {"caller": "client", "callee": "inference", "calls": 3, "errors": 1, "p50_us": 1000, "p95_us": 9000}
    ]


def test_known_calls_are_those_of_the_topology() -> None:
    known = {(caller, callee) for caller, callees in CALLS.items() for callee in callees if caller != "client"}
    assert known == {(each.name, callee) for each in topology.SERVICES for callee in each.calls}
