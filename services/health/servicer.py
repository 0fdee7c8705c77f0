"""lepton.v1.HealthService over gRPC, and the same verdicts as grpc.health.v1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.mesh.serving.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Health
from lepton_ai.v1 import health_pb2 as pb
from lepton_ai.v1 import health_pb2_grpc
from services.health.observe.observer import Observer

SERVICE = "lepton.v1.HealthService"

Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServiceServicer):
    """Reports what the observer sees. `draining` is set when the server wants its streams to end."""

    def __init__(self, observer: Observer, *, draining: asyncio.Event) -> None:
        self._observer = observer
        self._draining = draining

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.PlatformStatus:  # noqa: N802
        await self._observer.look_at_machine()
        return self._observer.current()

    async def WatchStatus(  # noqa: N802
        self, request: pb.WatchStatusRequest, context: Context
    ) -> AsyncIterator[pb.PlatformStatus]:
        async for status in until_set(self._observer.status.changes(), self._draining):
            yield status


async def mirror(observer: Observer, health: Health) -> None:
    """Keep grpc.health.v1 in step with the observer until it closes: "platform", "service/NAME", "model/NAME"."""
    known: set[str] = set()
    async for status in observer.status.changes():
        verdicts = {"platform": status.condition}
        verdicts |= {f"service/{service.name}": service.condition for service in status.services}
        verdicts |= {f"model/{model.name}": model.condition for model in status.models}
        for name in known - verdicts.keys():
            await health.set(name, SERVICE_UNKNOWN)
        for name, condition in verdicts.items():
            await health.set(name, _serving(condition))
        known = set(verdicts)


def _serving(condition: pb.Condition.ValueType) -> int:
    """A degraded platform still serves."""
    return SERVING if condition in (pb.CONDITION_HEALTHY, pb.CONDITION_DEGRADED) else NOT_SERVING
