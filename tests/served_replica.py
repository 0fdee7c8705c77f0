"""An inference replica with a port of its own for tests; its Triton and its registry are fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing.fake_triton import FakeTriton
from services.inference.settings import InferenceSettings
from services.inference.wiring import Connections, InferenceReplica
from tests.replica import FakeRegistry
from tests.unit.inference.parts import NO_TRACING


@asynccontextmanager
async def served_replica(
    store: StateStore,
    directory: Path,
    registry: FakeRegistry,
    *,
    tracing: Tracing = NO_TRACING,
    triton: FakeTriton | None = None,
) -> AsyncIterator[str]:
    """Its address, once it serves what is deployed, or cannot for a second."""
    settings = InferenceSettings(
        model_repository=directory / "models",
        cache_dir=directory / "cache",
        triton_shared_memory_bytes=0,
        ready_after_s=1.0,
        propagation_s=0.0,
    )
    opened = await Connections.open(store, triton or FakeTriton(), settings, tracing)
    metrics = Metrics("inference")
    server = Server("inference", settings, state=store, tracing=tracing, metrics=metrics)
    connections = replace(opened, registry=registry)
    replica = InferenceReplica(server, settings, connections, tracing=tracing, metrics=metrics)
    try:
        await server.start()
        await replica.start()
        await server.ready()
        yield server.address
    finally:
        await server.drain()
        await connections.close()
