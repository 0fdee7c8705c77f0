"""What services really say: sentences that their own code makes of rules, faults, rollouts and changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator

from google.protobuf import json_format

from lepton_ai.counts import ArmCounts, LabelCounts, Sketch
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2
from services.health.alerts.causes.clues import find_clues
from services.health.alerts.causes.evidence import Evidence
from services.health.alerts.causes.queries import HOGS, PRESSURES
from services.health.alerts.judges.platform import PlatformJudge
from services.health.alerts.judges.rollouts import find_waiting
from services.health.events.changes.audit import event_of
from services.health.events.changes.processes import compare_processes
from services.health.events.changes.serving import compare_tritons
from services.health.events.event import Event
from services.health.observe.assessment import assess, mark_stale
from services.health.observe.view import ReplicaCheck, View
from services.health.promql.rules.file import read_rules
from services.health.promql.values import Sample
from services.registry.rollouts.judging import Judge, Verdict
from tests.unit.health.alerts.making import START_S, alert

MODEL = "识花2"
_LABELS = ("model", "version", "service", "of_service", "instance", "replica", "kind", "mountpoint", "reason", "use")
_ACTIONS = (
    "push sign archive restore delete rollback rollout_start rollout_pause rollout_resume rollout_promote"
    " rollout_abort rollout_waiting rollout_running rollout_held rollout_paused rollout_promoted rollout_rolled_back"
    " rollout_aborted deploy undeploy set_alias delete_alias"
)


class Observer:
    """Sees one thing."""

    def __init__(self, seen: View, *, is_stale: bool = False) -> None:
        self._seen = seen
        self._is_stale = is_stale

    def view(self) -> View:
        return self._seen

    def current(self) -> pb.PlatformStatus:
        status = assess(self._seen)
        if self._is_stale:
            mark_stale(status, 10**18)
        return status


def of_rules() -> Iterator[str]:
    """Summaries and descriptions of the rule file."""
    labels = {name: f"{index}:1" for index, name in enumerate(_LABELS)}
    for rule in (rule for group in read_rules() for rule in group.rules if rule.alert):
        written = rule.written_annotations(labels, 0.0731)
        yield from (written[name] for name in ("summary", "description") if name in written)


def of_faults() -> Iterator[str]:
    """Problems of the status, and the texts of the alerts that are made of it."""
    views = (_broken(serving=False), _broken(serving=True), View())
    for observer in (Observer(view, is_stale=view == View()) for view in views):
        yield from observer.current().problems
        for firing in asyncio.run(PlatformJudge(observer).judge(0.0)):
            said = firing.annotations
            yield from (said[name] for name in ("summary", "cause", "impact") if name in said)


def of_rollouts() -> Iterator[str]:
    """Verdicts: harm, fine, not settled, nothing there; alerts of rollouts that wait."""
    for state in (registry_pb2.ROLLOUT_STATE_HELD, registry_pb2.ROLLOUT_STATE_ROLLED_BACK):
        rollout = registry_pb2.Rollout(model=MODEL, version=7, old_version=6, share=500, state=state)
        yield from (firing.annotations["summary"] for firing in find_waiting([rollout], 0.0))
    for verdict in (_judged(), _judged((500, 0)), _judged((40, 2)), _judged((900, 0), looks=9)):
        yield verdict.sentence
        yield from (gate.sentence for gate in verdict.gates)


def of_changes() -> Iterator[str]:
    """Titles of the time line."""
    yield from (event_of(_entry(action)).title for action in _ACTIONS.split())
    endpoint = Endpoint("inference", "10.0.0.1:8500", {})
    _, known = compare_processes({}, [endpoint], 1000.0)
    _, gone = compare_processes(known, [], 1010.0)
    left, gone = compare_processes(gone, [], 1020.0)
    back, _ = compare_processes(gone, [endpoint], 1030.0)
    yield from (each.title for each in (*left, *back))
    restarted = pb.ServingState(replica="10.0.0.1:8500", triton_restarts=1)
    yield from (each.title for each in compare_tritons({restarted.replica: 0}, {}, [restarted], 1000.0)[0])


def of_causes() -> Iterator[str]:
    """What is likely to have caused an alert, and alerts that are over."""
    broken = alert("ModelErrors", model=MODEL)
    evidence = Evidence(
        START_S,
        alerts=[alert("EtcdSlow", "ticket").model_copy(update={"annotations": {"summary": next(of_rules())}})],
        changes=[
            Event(START_S, "restart", f"inference {each} was restarted", {"service": "inference"}) for each in "aab"
        ],
        failures=[Sample({"model": MODEL, "code": code}, 9.0) for code in ("UNAVAILABLE", "INTERNAL")],
        silent=[{"service": "triton", "instance": "10.0.0.1:8500"}],
    )
    yield from (clue.cause.text for clue in find_clues(broken, evidence))
    yield from (
        gauge.write({"service": "health", "instance": "a", "mountpoint": "/"}, 0.9) for gauge in (*PRESSURES, *HOGS)
    )
    yield from (f"Over: {text}" for text in of_rules())


def everything() -> list[str]:
    """All of it, each once."""
    told: Iterable[str] = (*of_causes(), *of_rules(), *of_faults(), *of_rollouts(), *of_changes())
    return list(dict.fromkeys(each for each in told if each))


def _broken(*, serving: bool) -> View:
    gone = ReplicaCheck(serving=False, message="nothing answers there; its registration ends with its lease")
    failed = pb.VersionStatus(
        model=MODEL, version=2, state=pb.VERSION_STATE_FAILED, message="cannot be loaded: The model failed."
    )
    old = pb.VersionStatus(model=MODEL, version=1, state=pb.VERSION_STATE_SERVING, aliases=["production"])
    target = registry_pb2.WeightedVersion(version=2, weight=1)
    deployment = registry_pb2.Deployment(model=MODEL, routes=[registry_pb2.Route(alias="production", targets=[target])])
    versions = [failed, old] if serving else [failed]
    return View(
        replicas={"inference": {"10.0.0.1:8500": gone, "10.0.0.2:8500": ReplicaCheck(serving=True)}, "preprocess": {}},
        deployments={MODEL: deployment},
        serving=(pb.ServingState(replica="10.0.0.2:8500", versions=versions, triton_ready=False),),
        expected_replicas={"inference": 3},
        machine={"supervisor": "The process supervisor is gone: nothing that dies is started again. "
                 "Run `lepton up` to recover."},
        state_connected=False,
    )  # fmt: skip


def _judged(ours: tuple[int, int] = (0, 0), looks: int = 3) -> Verdict:
    judge = Judge(candidate="version 7")
    for _ in range(looks):
        verdict = judge.look(_answers(*ours), _answers(ours[0], 0), _answers(10 * ours[0], 0))
    return verdict


def _answers(count: int, errors: int) -> ArmCounts:
    latency_s = Sketch()
    latency_s.extend([0.04 * (0.5 + index % 10 / 10) for index in range(count - errors)])
    labels = LabelCounts({"猫": count // 2, "狗": count // 2})
    return ArmCounts(count, Counter({"INTERNAL": errors}), latency_s, labels, good=count // 2)


def _entry(action: str) -> registry_pb2.AuditEntry:
    def deployment(share: int) -> str:
        targets = [{"version": 1, "weight": 100 - share}, {"version": 2, "weight": share}]
        route = {"alias": "production", "targets": targets, "candidate": 2}
        return json_format.MessageToJson(
            json_format.ParseDict({"model": MODEL, "routes": [route]}, registry_pb2.Deployment()),
            preserving_proto_field_name=True,
        )

    is_version = action in ("push", "sign", "archive", "restore", "delete", "set_alias", "delete_alias")
    after = '{"version": 2, "alias": "staging"}' if is_version else deployment(25)
    return registry_pb2.AuditEntry(
        id=1, action=action, model=MODEL, before_json="" if is_version else deployment(5), after_json=after
    )
