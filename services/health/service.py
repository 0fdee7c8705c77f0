"""The health service as one coroutine, whatever process it runs in."""

from __future__ import annotations

import asyncio
from functools import partial

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.v1 import health_pb2_grpc
from services.health.golden import GoldenSamples
from services.health.observer import Observer
from services.health.probes import ModelProber
from services.health.replicas import ReplicaChecker
from services.health.servicer import SERVICE, HealthServicer, mirror
from services.health.settings import HealthSettings


async def build(settings: HealthSettings, state: StateStore, tracing: Tracing) -> Server:
    """Everything wired together and started; the server is what the caller runs and drains."""
    server = Server("health", settings, state=state, tracing=tracing, metrics=Metrics("health"))
    server.on_close(state.close)  # closed last: closing goes backwards
    pools = {name: await _pool(name, state, server, settings) for name in ("inference", "registry")}
    samples = GoldenSamples(pools["registry"], max_bytes=settings.max_golden_bytes, timeout_s=settings.probe_timeout_s)
    prober = ModelProber(pools["inference"], samples, timeout_s=settings.probe_timeout_s)
    observer = Observer(state, ReplicaChecker(timeout_s=settings.check_timeout_s), prober, settings)
    await observer.start()
    mirroring = run_loop(partial(mirror, observer, server.health), name="mirror health")

    async def close() -> None:
        await observer.close()
        mirroring.cancel()
        await asyncio.wait([mirroring])

    server.on_close(close)
    servicer = HealthServicer(observer, draining=server.draining)
    server.add(health_pb2_grpc.add_HealthServiceServicer_to_server, servicer, SERVICE)
    return server


async def _pool(service: str, state: StateStore, server: Server, settings: HealthSettings) -> ServicePool:
    endpoints = await watch_endpoints(state, service)
    pool = ServicePool(service, endpoints, max_message_bytes=settings.max_message_bytes)
    await pool.start()
    server.on_close(endpoints.close)
    server.on_close(pool.close)
    return pool


async def main() -> None:
    """Read the settings, serve until told to stop."""
    settings = HealthSettings.load()
    configure_logging("health", level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address, login=settings.etcd_login())
    await run(await build(settings, state, Tracing.create("health", settings)))
