"""The platform's status in the few words that the page shows. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from lepton_ai.v1 import health_pb2 as pb

Json = dict[str, Any]
_WORDS = {
    pb.CONDITION_HEALTHY: "healthy",
    pb.CONDITION_DEGRADED: "degraded",
    pb.CONDITION_UNHEALTHY: "unhealthy",
}


def digest(status: pb.PlatformStatus) -> Json:
    """A status small enough to be sent at every change: of 50 replicas times 100 models, the counts."""
    return {
        "condition": _word(status.condition),
        "stale_since": seconds(status.stale_since) if status.HasField("stale_since") else None,
        "services": [_service(each) for each in status.services],
        "models": [_model(each) for each in status.models],
        "problems": problems(status),
    }


def problems(status: pb.PlatformStatus) -> list[Json]:
    """Every problem with what it is about, and the command that shows more of it."""
    subjects: dict[str, Json] = {}
    for service in status.services:
        for replica in service.replicas:
            sentence = f"{service.name} at {replica.address}: {replica.message}"
            subjects[sentence] = _about("service", service.name, f"lepton logs {service.name} -n 100")
    for model in status.models:
        subjects[f"Model {model.name}: {model.message}"] = _about("model", model.name, f"lepton models {model.name}")
    unknown = _about("platform", "", "lepton health")
    return [{"sentence": each, **subjects.get(each, unknown)} for each in status.problems]


def seconds(time: Timestamp) -> float:
    """Since 1970."""
    return time.seconds + time.nanos / 1e9


def _about(kind: str, name: str, command: str) -> Json:
    return {"kind": kind, "name": name, "command": command}


def _word(condition: pb.Condition.ValueType) -> str:
    return _WORDS.get(condition, "unknown")


def _service(service: pb.ServiceStatus) -> Json:
    return {
        "name": service.name,
        "condition": _word(service.condition),
        "replicas": [
            {"address": each.address, "condition": _word(each.condition), "message": each.message}
            for each in service.replicas
        ],
    }


def _model(model: pb.ModelStatus) -> Json:
    return {
        "name": model.name,
        "condition": _word(model.condition),
        "message": model.message,
        "production_version": model.production_version,
        "probe": _probe(model.last_probe) if model.HasField("last_probe") else None,
        "versions": _versions(each.status for each in model.served),
    }


def _probe(probe: pb.ProbeResult) -> Json:
    # Without the time: each probe would be a change, every few seconds, of every model.
    return {"succeeded": probe.succeeded, "error": probe.error, "version": probe.model_version}


def _versions(served: Iterable[pb.VersionStatus]) -> list[Json]:
    states: dict[int, Counter[str]] = {}
    messages: dict[int, str] = {}
    for each in served:
        word = pb.VersionState.Name(each.state).removeprefix("VERSION_STATE_").lower()
        states.setdefault(each.version, Counter())[word] += 1
        if each.state == pb.VERSION_STATE_FAILED:
            messages.setdefault(each.version, each.message)
    return [_version(version, states[version], messages.get(version, "")) for version in sorted(states, reverse=True)]


def _version(version: int, states: Mapping[str, int], message: str) -> Json:
    return {"version": version, "replicas": dict(states), "message": message}
