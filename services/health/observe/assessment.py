"""Judges a view of the platform and gives the reasons. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lepton_ai.references import PRODUCTION
from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import registry_pb2
from services.health.observe.view import EXPECTED_SERVICES, ReplicaCheck, View

_HEALTHY, _DEGRADED, _UNHEALTHY = pb.CONDITION_HEALTHY, pb.CONDITION_DEGRADED, pb.CONDITION_UNHEALTHY


def assess(view: View) -> pb.PlatformStatus:
    """The status of services, models and the whole. `observed_at` is left to the caller."""
    names = sorted({*EXPECTED_SERVICES, *view.expected_replicas, *view.replicas})
    services = [
        _assess_service(name, view.replicas.get(name, {}), view.expected_replicas.get(name, 1)) for name in names
    ]
    models = [_assess_model(deployment, view) for _, deployment in sorted(view.deployments.items())]
    status = pb.PlatformStatus(services=services, models=models, problems=_problems(view, services, models))
    status.condition = _overall(view, services, models)
    return status


def mark_stale(status: pb.PlatformStatus, since_ns: int) -> None:
    """Mark a status as out of date since `since_ns`: nothing in it counts as healthy, and a problem says why."""
    status.stale_since.FromNanoseconds(since_ns)
    since = f"{status.stale_since.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
    parts: Iterable[pb.PlatformStatus | pb.ServiceStatus | pb.ModelStatus] = (status, *status.services, *status.models)
    for part in parts:
        part.condition = max(part.condition, _DEGRADED)
    for model in status.models:
        model.message = f"{model.message} Stale since {since}.".lstrip()
    status.problems.insert(
        0, f"Stale since {since}: health could not look any more, and what stands here was so then. See its log."
    )


def _assess_service(name: str, checks: Mapping[str, ReplicaCheck | None], expected: int) -> pb.ServiceStatus:
    replicas = [_assess_replica(address, check) for address, check in sorted(checks.items())]
    failing = sum(replica.condition == _UNHEALTHY for replica in replicas)
    if not replicas or failing == len(replicas):
        condition = _UNHEALTHY
    else:
        condition = _DEGRADED if failing or len(replicas) < expected else _HEALTHY
    return pb.ServiceStatus(name=name, condition=condition, replicas=replicas)


def _assess_replica(address: str, check: ReplicaCheck | None) -> pb.ReplicaStatus:
    if check is None:  # it has just registered, which it does only when it is ready
        return pb.ReplicaStatus(address=address, condition=_HEALTHY)
    condition = _HEALTHY if check.serving else _UNHEALTHY
    return pb.ReplicaStatus(address=address, condition=condition, message=check.message)


def _assess_model(deployment: registry_pb2.Deployment, view: View) -> pb.ModelStatus:
    name, wanted = deployment.model, production_version(deployment)
    served = [
        pb.ServedVersion(replica=state.replica, status=status)
        for state in view.serving
        for status in state.versions
        if status.model == name
    ]
    status = pb.ModelStatus(name=name, production_version=wanted, served=served)
    probe = view.probes.get(name)
    if probe is not None:
        status.last_probe.CopyFrom(probe)
    status.condition, status.message = _judge_model(
        wanted, [each.status for each in served], probe, replicas=len(view.serving)
    )
    return status


def _judge_model(
    wanted: int, served: list[pb.VersionStatus], probe: pb.ProbeResult | None, *, replicas: int
) -> tuple[pb.Condition.ValueType, str]:
    answering = any(PRODUCTION in each.aliases and each.state == pb.VERSION_STATE_SERVING for each in served)
    current = [each for each in served if each.version == wanted]
    ready = any(each.state == pb.VERSION_STATE_SERVING for each in current)
    if probe is not None and not probe.succeeded and (answering or not ready):
        return _UNHEALTHY, f"A test prediction failed: {probe.error}"
    if not answering:
        return _UNHEALTHY, _why_not_ready(wanted, current)
    if not ready:
        return _DEGRADED, f"{_why_not_ready(wanted, current)} Calls still go to the version before."
    # A replica that has not heard of the change yet says nothing of the version, or sends calls elsewhere still.
    if sum(PRODUCTION in each.aliases and each.state == pb.VERSION_STATE_SERVING for each in current) < replicas:
        return _DEGRADED, f"Version {wanted} does not get the calls on every replica yet."
    if probe is None:
        return _DEGRADED, "No test prediction was made yet."
    return _HEALTHY, ""


def _why_not_ready(wanted: int, current: list[pb.VersionStatus]) -> str:
    failed = next((each for each in current if each.state == pb.VERSION_STATE_FAILED), None)
    if failed is not None:
        return f"Version {wanted} cannot be served: {failed.message}"
    if not current:
        return f"No inference replica has taken up version {wanted} yet."
    return f"Version {wanted} is being loaded."


def _problems(view: View, services: Iterable[pb.ServiceStatus], models: Iterable[pb.ModelStatus]) -> list[str]:
    problems = list(view.machine.values())
    if not view.state_connected:
        problems.append("etcd does not answer: what stands here was last known before. Start etcd again.")
    for service in services:
        if not service.replicas:
            problems.append(f"No {service.name} service is registered. Start one, or see its log.")
        elif (count := len(service.replicas)) < (expected := view.expected_replicas.get(service.name, 1)):
            problems.append(f"{count} of {expected} {service.name} services are registered. See the log of the rest.")
        problems += [
            f"{service.name} at {replica.address}: {replica.message}"
            for replica in service.replicas
            if replica.condition != _HEALTHY
        ]
    problems += [
        f"Triton of the inference replica {state.replica} does not answer. It is started again by its supervisor."
        for state in view.serving
        if not state.triton_ready
    ]
    problems += [f"Model {model.name}: {model.message}" for model in models if model.message]
    return problems


def _overall(view: View, services: list[pb.ServiceStatus], models: list[pb.ModelStatus]) -> pb.Condition.ValueType:
    conditions = {service.name: service.condition for service in services}
    if conditions.get("inference") == _UNHEALTHY:
        return _UNHEALTHY
    if models and all(model.condition == _UNHEALTHY for model in models):
        return _UNHEALTHY
    whole = view.state_connected and not view.machine and all(state.triton_ready for state in view.serving)
    everything = [*conditions.values(), *(model.condition for model in models)]
    return _HEALTHY if whole and all(each == _HEALTHY for each in everything) else _DEGRADED


def production_version(deployment: registry_pb2.Deployment) -> int:
    """The version that most of the production calls should go to; 0 when there is no such route."""
    targets = [target for route in deployment.routes if route.alias == PRODUCTION for target in route.targets]
    return max(targets, key=lambda target: target.weight).version if targets else 0
