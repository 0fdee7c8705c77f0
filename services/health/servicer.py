"""lepton.v1.HealthService over gRPC, and the same verdicts as grpc.health.v1."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2 as standard
from grpc_health.v1.health import aio as standard_aio

from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import health_pb2_grpc
from services.health.observer import Observer


class HealthServicer(health_pb2_grpc.HealthServiceServicer):
    """Tells what the observer sees."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def GetStatus(  # noqa: N802 - named by the contract
        self,
        request: pb.GetStatusRequest,
        context: grpc.aio.ServicerContext[pb.GetStatusRequest, pb.PlatformStatus],
    ) -> pb.PlatformStatus:
        return self._observer.status.value

    async def WatchStatus(  # noqa: N802
        self,
        request: pb.WatchStatusRequest,
        context: grpc.aio.ServicerContext[pb.WatchStatusRequest, pb.PlatformStatus],
    ) -> AsyncIterator[pb.PlatformStatus]:
        async for status in self._observer.status.changes():
            yield status


async def mirror(observer: Observer, health: standard_aio.HealthServicer) -> None:
    """Keep grpc.health.v1 in step with the observer until cancelled: "" the platform, services, and model/NAME."""
    known: set[str] = set()
    async for status in observer.status.changes():
        verdicts = {"": status.condition}
        verdicts |= {service.name: service.condition for service in status.services}
        verdicts |= {f"model/{model.name}": model.condition for model in status.models}
        for name in known - verdicts.keys():
            await health.set(name, standard.HealthCheckResponse.SERVICE_UNKNOWN)
        for name, condition in verdicts.items():
            await health.set(name, _serving(condition))
        known = set(verdicts)


def _serving(condition: pb.Condition.ValueType) -> "standard.HealthCheckResponse.ServingStatus":
    """A degraded platform still serves."""
    if condition in (pb.CONDITION_HEALTHY, pb.CONDITION_DEGRADED):
        return standard.HealthCheckResponse.SERVING
    return standard.HealthCheckResponse.NOT_SERVING
