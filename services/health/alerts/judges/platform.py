"""What the observer sees, as firings: services, replicas, models, etcd, the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lepton_ai.v1 import health_pb2 as pb
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.observe.view import View

_STARTING_S = 120.0
"""What has never been well since health began, or since it was deployed, is given so long: it may be starting."""
_SHORT_S, _LONG_S = 3.0, 60.0
_SLEPT_S = 5.0
_RUNBOOK = "docs/runbooks.md"
_WHAT_WORKS = {
    "inference": "nobody gets predictions",
    "preprocess": "models whose pipeline runs there do not answer, others do",
    "registry": "predictions go on; nothing can be pushed, deployed or rolled back",
    "health": "nobody watches the platform",
}


class Observes(Protocol):
    """The observer, as far as this needs it."""

    def current(self) -> pb.PlatformStatus:
        """The status as it is now."""

    def view(self) -> View:
        """All that is known now."""


@dataclass(frozen=True)
class _About:
    """What a firing is about and says."""

    name: str
    severity: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    pending_s: float

    def firing(self) -> Firing:
        labels = {ALERT_NAME: self.name, SEVERITY: self.severity, **self.labels}
        runbook = f"{_RUNBOOK}#{self.name.lower()}"
        return Firing(labels, {"runbook": runbook, **self.annotations}, value=1.0, pending_s=self.pending_s)


class PlatformJudge:
    """Everything that the status calls not healthy is a firing of its own, with what is known of its cause."""

    name = "platform"

    def __init__(self, observer: Observes) -> None:
        self._observer = observer
        self._well: set[str] = set()
        """Services, and versions of models, that have been well before."""
        self._judged_s: float | None = None
        self._woke_s = float("-inf")

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All that is wrong now."""
        status, view = self._observer.current(), self._observer.view()
        self._well |= {each.name for each in status.services if each.condition == pb.CONDITION_HEALTHY}
        self._well |= {_version(each) for each in status.models if each.condition == pb.CONDITION_HEALTHY}
        itself = _itself(status, view, was_stopped=self._was_stopped(now_s))
        found = [*itself, *self._services(status, view), *_tritons(view), *self._models(status)]
        return [each.firing() for each in found]

    def _services(self, status: pb.PlatformStatus, view: View) -> Iterator[_About]:
        for service in status.services:
            name, labels = service.name, {"service": service.name}
            failing = [each for each in service.replicas if each.condition == pb.CONDITION_UNHEALTHY]
            for replica in failing:
                yield _About(
                    "ReplicaDown",
                    "ticket",
                    {**labels, "instance": replica.address},
                    {"summary": f"{name} at {replica.address} does not serve.", "cause": replica.message},
                    _SHORT_S,
                )
            if service.condition == pb.CONDITION_UNHEALTHY:
                why = "; ".join(sorted({each.message for each in failing if each.message}))
                texts = {
                    "summary": f"No {name} service answers.",
                    "cause": why or f"none is registered: it is gone or cannot reach etcd, see the log of {name}",
                    "impact": _WHAT_WORKS.get(name, f"what needs {name} does not work"),
                }
                alert = "InferenceDown" if name == "inference" else "ServiceDown"
                severity = "ticket" if name == "preprocess" else "page"  # models that need it page by themselves
                yield _About(alert, severity, labels, texts, self._patience_s(name, _SHORT_S))
            elif service.condition == pb.CONDITION_DEGRADED:
                expected = view.expected_replicas.get(name, 1)
                answering, wanted = len(service.replicas) - len(failing), max(expected, len(service.replicas))
                texts = {
                    "summary": f"{answering} of {wanted} {name} services answer.",
                    "impact": "what is left carries the load of all",
                }
                yield _About("ServiceDegraded", "ticket", labels, texts, self._patience_s(name, _LONG_S))

    def _models(self, status: pb.PlatformStatus) -> Iterator[_About]:
        for model in status.models:
            labels = {"model": model.name}
            texts = {"cause": model.message, "impact": f"callers of {model.name}"}
            if model.condition == pb.CONDITION_UNHEALTHY:
                texts["summary"] = f"Model {model.name} does not answer rightly."
                yield _About("ModelDown", "page", labels, texts, self._patience_s(_version(model), _SHORT_S))
            elif model.condition == pb.CONDITION_DEGRADED and model.message:
                texts["summary"] = f"Model {model.name} is not served as it should be."
                yield _About("ModelDegraded", "ticket", labels, texts, self._patience_s(_version(model), _LONG_S))

    def _was_stopped(self, now_s: float) -> bool:
        """Whether this process did not run until just now, as when its machine sleeps: it will look before long."""
        if self._judged_s is not None and now_s - self._judged_s > _SLEPT_S:
            self._woke_s = now_s
        self._judged_s = now_s
        return 0 <= now_s - self._woke_s < _SLEPT_S

    def _patience_s(self, name: str, usual_s: float) -> float:
        return usual_s if name in self._well else _STARTING_S


def _itself(status: pb.PlatformStatus, view: View, *, was_stopped: bool) -> Iterator[_About]:
    if status.HasField("stale_since") and not was_stopped:
        texts = {
            "summary": "Health cannot look any more: what it says is out of date.",
            "cause": "its own loops fail or hang: see the log of the health service",
            "impact": "new faults are not noticed",
        }
        yield _About("HealthBlind", "page", {"service": "health"}, texts, 0.0)
    if not view.state_connected:
        texts = {
            "summary": "etcd does not answer.",
            "cause": "its process is gone or out of reach",
            "impact": "predictions go on; nothing can be deployed, and who joins or leaves is not noticed",
        }
        yield _About("EtcdDown", "page", {"service": "etcd"}, texts, _SHORT_S)
    for kind, problem in view.machine.items():
        name = "SupervisorDown" if kind == "supervisor" else "DiskNearlyFull"
        yield _About(name, "page" if kind == "supervisor" else "ticket", {}, {"summary": problem}, _SHORT_S)


def _tritons(view: View) -> Iterator[_About]:
    for state in view.serving:
        if not state.triton_ready:
            texts = {
                "summary": f"Triton of the inference replica {state.replica} does not answer.",
                "cause": "its process died or hangs; its supervisor starts it again",
                "impact": f"no predictions from {state.replica}",
            }
            labels = {"service": "inference", "instance": state.replica}
            yield _About("TritonDown", "ticket", labels, texts, 2 * _SHORT_S)


def _version(model: pb.ModelStatus) -> str:
    return f"{model.name}@{model.production_version}"
