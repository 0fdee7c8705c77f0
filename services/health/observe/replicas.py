"""Asks every registered replica for its health over grpc.health.v1."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.health.observe.view import ReplicaCheck

_log = logging.getLogger(__name__)
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class ReplicaChecker:
    """Keeps a connection to every replica and asks them all at once."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._unaskable: set[str] = set()

    async def check_all(self, addresses: Iterable[str]) -> Mapping[str, ReplicaCheck]:
        """Address → answer, within the timeout. Connections to replicas that are not asked any more are closed."""
        wanted = sorted(set(addresses))
        self._unaskable.intersection_update(wanted)
        for gone in self._channels.keys() - set(wanted):
            await self._channels.pop(gone).close()
        answers = await asyncio.gather(*(self._check(address) for address in wanted))
        return dict(zip(wanted, answers, strict=True))

    async def close(self) -> None:
        """Close all connections."""
        await self.check_all(())

    async def _check(self, address: str) -> ReplicaCheck:
        try:
            answer = await self._ask(address)
        except grpc.aio.AioRpcError as error:
            return ReplicaCheck(serving=False, message=_explain(error.code(), self._timeout_s))
        except Exception:  # noqa: BLE001 - one that cannot be asked must not keep the others from being asked
            if address not in self._unaskable:
                _log.exception("a replica cannot be asked for its health", extra={"address": address})
            self._unaskable.add(address)
            return ReplicaCheck(serving=False, message="it cannot be asked for its health, see the log of health")
        self._unaskable.discard(address)
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return ReplicaCheck(serving=True)
        return ReplicaCheck(serving=False, message="it says that it is not serving (starting up or shutting down)")

    async def _ask(self, address: str) -> health_pb2.HealthCheckResponse:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=_OPTIONS)
        stub: Any = health_pb2_grpc.HealthStub(self._channels[address])
        answer: health_pb2.HealthCheckResponse
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout_s)
        return answer


def _explain(code: grpc.StatusCode, timeout_s: float) -> str:
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"it did not answer within {timeout_s:g} s"
    if code == grpc.StatusCode.UNAVAILABLE:
        return "nothing answers there; its registration ends with its lease"
    return f"its health check failed with {code.name}"
