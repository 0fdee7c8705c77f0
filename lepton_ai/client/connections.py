"""The connections of a client: one pool of replicas a service, opened when first called, and errors that say what and
where."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import grpc

from lepton_ai.addresses import Addresses, split_addresses
from lepton_ai.client import forking
from lepton_ai.errors import DeadlineExceeded, LeptonError, NotFound
from lepton_ai.local.running import meant_home, stack_is_down
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.tracing import Tracing, client_interceptors, noted_trace
from lepton_ai.v1 import inference_pb2

T = TypeVar("T")

_GRACE_S = 2.0
"""How much later than its timeout a call may end before it is given up."""


class _TraceSettings:
    def __init__(self, otlp_endpoint: str, ratio: float) -> None:
        self.otlp_endpoint = otlp_endpoint or None
        self.trace_ratio = ratio


class Connections:
    """What an AsyncClient calls through."""

    def __init__(self, addresses: Addresses, *, trace_ratio: float, hedging: bool = True) -> None:
        self._hedging = hedging
        self.addresses = addresses
        self.pools: dict[str, ServicePool] = {}
        self._tracing = Tracing.create("client", _TraceSettings(addresses.otlp, trace_ratio))
        self.traces = trace_ratio > 0
        forking.grpc_used_by(self, uses=bool(addresses.otlp))

    async def call(
        self,
        service: str,
        invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]],
        timeout_s: float,
        *,
        idempotent: bool = True,
        hedge: str | None = None,
    ) -> T:
        """Make a call, see `ServicePool.call`. Raises LeptonError, with the id of the call's trace if it has one."""
        pool = await self.open(service)
        with noted_trace() as note:
            try:
                call = pool.call(invoke, timeout_s=timeout_s, idempotent=idempotent, hedge=hedge)
                return await _explained(call, timeout_s)
            except LeptonError as error:
                error.trace_id = error.trace_id or note.trace_id
                raise

    async def open(self, service: str) -> ServicePool:
        """The service's replicas: a call goes to the best of them, and to another one when it fails there."""
        forking.check_grpc()
        if service not in self.pools:
            replicas = split_addresses(self._address(service))
            # With several addresses, the spans of the pool's calls cannot say which one was called.
            interceptors = self._interceptors(replicas[0] if len(replicas) == 1 else None)
            endpoints = fixed_endpoints(service, replicas)
            pool = ServicePool(service, endpoints, interceptors=interceptors, hedging=self._hedging)
            forking.grpc_used_by(self, uses=True)
            # Set before the first await, so that calls made at the same time share one pool.
            self.pools[service] = pool
            await pool.start()
        return self.pools[service]

    async def close(self) -> None:
        """Close all connections and send the last spans."""
        pools, self.pools = self.pools, {}
        for pool in pools.values():
            await pool.close()
        await asyncio.to_thread(self._tracing.shutdown)
        forking.grpc_used_by(self, uses=False)

    def _interceptors(self, address: str | None) -> Sequence[grpc.aio.ClientInterceptor]:
        return client_interceptors(self._tracing.tracer, address=address) if self.traces else ()

    def _address(self, service: str) -> str:
        address: str = getattr(self.addresses, service)
        if not any((self.addresses.inference, self.addresses.registry, self.addresses.health)):
            raise stack_is_down(meant_home())
        if not address:
            raise NotFound(
                f"No address of the {service} service is known.",
                reason="NO_ADDRESS",
                fix=f"Set LEPTON_{service.upper()}_ADDRESS=HOST:PORT beside the addresses that are set.",
            )
        return address


def kind_of(request: inference_pb2.PredictRequest) -> str | None:
    """Names predictions that take about as long as this one, for hedging; None for bulk work: nobody waits for it."""
    if request.options.priority == inference_pb2.PRIORITY_BATCH:
        return None
    return f"{request.model.name} {len(request.items).bit_length()} {request.ByteSize().bit_length()}"


async def _explained(call: Awaitable[T], timeout_s: float) -> T:
    """Await a call; a failure becomes the LeptonError it stands for, also when gRPC forgets its own timeout."""
    try:
        async with asyncio.timeout(timeout_s + _GRACE_S):
            return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"gRPC does not work in this process: after {timeout_s:g} s it gives neither an answer nor an error.",
            fix="If it was forked from one that used gRPC: import lepton_ai before that, or start it with spawn.",
        ) from error


class ConnectedClient(Protocol):
    """What the parts of `AsyncClient` need of it."""

    _connections: Connections
    _proof: Any
    """Metadata that says who asks."""
    _timeout_s: float


class BlockingClient(Protocol):
    """What the parts of `Client` need of it."""

    def _run(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call the method of this name of an AsyncClient, and wait for it."""
