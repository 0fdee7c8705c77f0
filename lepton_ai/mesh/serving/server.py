"""Runs the gRPC server of a service: health, reflection, limits and registration, from start to drained. How bytes come
in is its transport's business.

How a rolling restart fails no request, as long as another replica is there. On SIGTERM:

1. health says NOT_SERVING and the endpoint leaves discovery: callers begin to choose other replicas;
2. for `propagation_s` everything is still answered: callers hear of the change at different times, and what they send
   over old connections meanwhile must not fail;
3. `draining` is set: handlers of long-lived streams finish what they have read and end the stream with OK;
4. no new calls are taken; those in flight get up to `drain_s` to finish, and handlers whose calls were cancelled, by
   their callers or by us, get a moment to clean up, because grpc waits for calls but not for their handlers;
5. what was registered with `on_close` is closed, and the last spans are sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from lepton_ai.mesh.discovery.endpoints import register
from lepton_ai.mesh.discovery.process_facts import facts_of
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.discovery.state import Publication, StateStore
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving import health, reflection
from lepton_ai.mesh.serving.access import token_layer
from lepton_ai.mesh.serving.advertised import advertised_address
from lepton_ai.mesh.serving.handlers import Layer
from lepton_ai.mesh.serving.interceptors import server_layers
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.mesh.serving.transports.certificates import tell_expiry
from lepton_ai.mesh.serving.transports.choice import make_transport
from lepton_ai.mesh.serving.transports.transport import Transport
from lepton_ai.mesh.settings import PublicSettings, ServiceSettings
from lepton_ai.mesh.tracing import Tracing

logger = logging.getLogger(__name__)

METRICS_ADDRESS = "metrics"
"""In the metadata of an endpoint: where its Prometheus page is, host:port."""
TRITON_METRICS_ADDRESS = "triton_metrics"
"""Likewise, where that of its Triton is."""

AddServicer = Callable[[Any, Any], None]
"""add_…Servicer_to_server of generated code: servicer and registry → nothing."""

_LEAVE_TIMEOUT_S = 2.0
_CLEAN_UP_TIMEOUT_S = 1.0
"""How long cancelled handlers may clean up. Milliseconds are enough, and the whole drain must end before supervisors
kill it (15 s)."""


class Server:
    """One process's gRPC server. `add` services, `start`, `ready` when it can work, `drain` to leave; or `run` it."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        *,
        state: StateStore | None,
        tracing: Tracing,
        metrics: Metrics,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """`name` is the service in discovery; without `state` the process is not registered."""
        self.name = name
        self.health = health.Health()
        self.metrics = metrics
        self.draining = asyncio.Event()
        """Set when streams must end: see `lepton_ai.mesh.serving.draining.until_set`."""
        self.address = ""
        self.metrics_port: int | None = None
        self._settings = settings
        self._state = state
        self._tracing = tracing
        metrics.count_dropped_spans(lambda: tracing.dropped_spans)
        self._metadata = dict(metadata or {})
        self._services: list[tuple[AddServicer, Any]] = []
        self._service_names: list[str] = []
        self._guards: list[Layer] = []
        self._fullness: Callable[[], float] = lambda: 0.0
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._unopened: Transport | None = None
        self._transport: Transport | None = None
        """The transport, once it listens."""
        self._publication: Publication | None = None
        self._drained: asyncio.Task[None] | None = None

    def add(self, add_servicer: AddServicer, servicer: Any, *service_names: str) -> None:
        """Serve `servicer`; `service_names` (full, "pkg.Service") are what reflection and health know it by."""
        self._services.append((add_servicer, servicer))
        self._service_names += service_names

    def require_token(self, tokens: Tokens, service: str, *, open_methods: Collection[str]) -> None:
        """Refuse calls of this service that do not show one of the tokens, but for the methods that are open to all."""
        self._guards.append(token_layer(tokens, service, open_methods=open_methods))

    def tell_fullness(self, fullness: Callable[[], float]) -> None:
        """Have callers that ask for this process's load told which part is taken of what the service lets in."""
        self._fullness = fullness

    def advertise(self, key: str, value: str) -> None:
        """Say something of this process in discovery, from `ready` on: metadata of its endpoint."""
        self._metadata[key] = value

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have `close` awaited when no call is in flight any more, before the last spans are sent; last added first."""
        self._closers.append(close)

    async def start(self) -> str:
        """Bind and serve, health saying NOT_SERVING. Returns the address, under which others reach this process.

        A worker listens only when it is ready: callers of a shared port cannot choose another one. Raises
        FailedPrecondition when the port is taken.
        """
        self._unopened = self._make_transport()
        await self._add_services(self._unopened.registry)
        worker = self._settings.worker
        port = await self._open(self._unopened) if worker is None else worker.port
        self.address = advertised_address(self._settings.host, port, self._settings.advertise_address)
        tls = self._settings.tls() if isinstance(self._settings, PublicSettings) else None
        if tls is not None:
            tell_expiry(self.metrics.registry, tls)
        if self._settings.metrics_port is not None:
            self.metrics_port = self.metrics.serve(self._settings.host, self._settings.metrics_port)
            host = self.address.rpartition(":")[0]
            self.advertise(METRICS_ADDRESS, f"{host}:{self.metrics_port}")
        logger.info("listening", extra={"address": self.address, "metrics_port": self.metrics_port})
        return self.address

    async def ready(self) -> None:
        """Say SERVING and register in discovery. Without effect when the server has begun to drain."""
        if self._drained is not None or self._publication is not None:
            return
        if self._transport is None and self._unopened is not None:
            await self._open(self._unopened)
        await self.health.set_all(health.SERVING)
        if self._state is not None:
            metadata = {**self._metadata, **facts_of(self._settings)}
            self._publication = await register(self._state, Endpoint(self.name, self.address, metadata))
        logger.info("ready", extra={"address": self.address})

    async def drain(self) -> None:
        """Leave without failing a request, in the order described above; a second call waits for the first."""
        if self._drained is None:
            self._drained = asyncio.ensure_future(self._drain())
        await asyncio.shield(self._drained)

    async def stop_now(self) -> None:
        """Cut short a drain: cancel all calls in flight."""
        self.draining.set()
        if self._transport is not None:
            await self._transport.stop(0)

    async def _open(self, transport: Transport) -> int:
        port = await transport.start()
        self._transport = transport
        return port

    async def _drain(self) -> None:
        logger.info("draining", extra={"address": self.address, "in_flight": self.metrics.in_flight})
        await self.health.enter_graceful_shutdown()
        await self._leave_discovery()
        if not self.draining.is_set():
            await asyncio.sleep(self._settings.propagation_s)
        self.draining.set()
        await self.health.close()
        if self._transport is not None:
            await self._transport.stop(self._settings.drain_s)
        await self._handlers_end()
        for close in reversed(self._closers):
            await self._close(close)
        await asyncio.to_thread(self.metrics.close)
        await asyncio.to_thread(self._tracing.flush)
        logger.info("drained", extra={"address": self.address})

    async def _leave_discovery(self) -> None:
        if self._publication is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._publication.withdraw()
        except TimeoutError:
            logger.warning("discovery does not answer; the registration will run out by itself")

    async def _handlers_end(self) -> None:
        try:
            async with asyncio.timeout(_CLEAN_UP_TIMEOUT_S):
                await self.metrics.until_idle()
        except TimeoutError:
            logger.warning("cancelled calls do not end; going on", extra={"in_flight": self.metrics.in_flight})

    async def _close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close one part. If that fails, the others are still closed and the last spans are still sent."""
        try:
            await close()
        except Exception as error:
            logger.error("closing failed", exc_info=error, extra={"part": getattr(close, "__qualname__", repr(close))})

    def _make_transport(self) -> Transport:
        layers = server_layers(
            self._tracing,
            self.metrics,
            max_concurrent_rpcs=self._settings.max_concurrent_rpcs,
            default_timeout_s=self._settings.default_timeout_s,
            fullness=self._fullness,
            guards=self._guards,
        )
        return make_transport(self._settings, layers)

    async def _add_services(self, server: Any) -> None:
        for add_servicer, servicer in self._services:
            add_servicer(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        names = (*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        add_reflection: AddServicer = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        add_reflection(reflection.Reflection(names, self.draining), server)
        for name in self._service_names:
            await self.health.set(name, health.NOT_SERVING)
