"""The standard health service (grpc.health.v1) of one process: NOT_SERVING until it is ready, and again from drain on.

grpcio-health-checking has an asyncio servicer too. It says SERVING for "" from the start, its Watch never ends (which
would hold up every drain), and when one of two watchers of a service leaves, the other is never told anything again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_ai.errors import NotFound

SERVICE_NAME = "grpc.health.v1.Health"
Status = int
"""A value of the enum HealthCheckResponse.ServingStatus."""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """Health by service name; "" is the process as a whole."""

    def __init__(self) -> None:
        self._status: dict[str, Status] = {"": NOT_SERVING}
        self._changed = asyncio.Event()
        self._shutting_down = False
        self._closed = False

    def status(self, service: str = "") -> Status | None:
        """The status of a service; None when the service is not known."""
        return self._status.get(service)

    async def set(self, service: str, status: Status) -> None:
        """Set the status of a service. Has no effect once shutdown has begun."""
        if not self._shutting_down:
            self._status[service] = status
            self._tell()

    async def set_all(self, status: Status) -> None:
        """Set the same status for every known service."""
        for service in self._status:
            await self.set(service, status)

    async def enter_graceful_shutdown(self) -> None:
        """Everything is NOT_SERVING from now on, for good."""
        await self.set_all(NOT_SERVING)
        self._shutting_down = True

    async def close(self) -> None:
        """End all watches, after each has sent the newest status."""
        self._closed = True
        self._tell()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        status = self._status.get(request.service)
        if status is None:
            raise NotFound(
                f"No service {request.service[:100]!r} here.",
                fix='Ask for "" or one of the services that reflection lists.',
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        said: Status | None = None
        while True:
            changed = self._changed
            status = self._status.get(request.service, SERVICE_UNKNOWN)
            if status != said:
                said = status
                yield health_pb2.HealthCheckResponse(status=status)
            elif self._closed:
                return
            else:
                await changed.wait()

    def _tell(self) -> None:
        """Wake all watchers. Each event is set once, then replaced: no watcher misses a change or waits for ever."""
        self._changed.set()
        self._changed = asyncio.Event()
