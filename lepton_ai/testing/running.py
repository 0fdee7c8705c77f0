"""Serves servicers on a free port with the real server of the mesh, for the length of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import AddServicer, Server
from lepton_ai.mesh.settings import ServiceSettings
from lepton_ai.mesh.tracing import Tracing


@dataclass(frozen=True)
class Running:
    """A server that answers at `address`, and a plain channel to it."""

    address: str
    channel: grpc.aio.Channel
    server: Server
    metrics: Metrics


def quick_settings(**changes: Any) -> ServiceSettings:
    """Settings for tests: a free port, no waiting for propagation. Reads no environment."""
    return ServiceSettings.model_construct(**{"propagation_s": 0.0, "drain_s": 2.0, **changes})


@asynccontextmanager
async def running(
    *services: tuple[AddServicer, Any, str],
    name: str = "test",
    settings: ServiceSettings | None = None,
    state: StateStore | None = None,
    tracing: Tracing | None = None,
    ready: bool = True,
) -> AsyncIterator[Running]:
    """Serve (add_…Servicer_to_server, servicer, "pkg.Service") on a free port; drained at the end of the block.

    `async with running((add_XServicer_to_server, X(), "lepton.v1.X")) as served: XStub(served.channel)`
    """
    metrics = Metrics(name)
    server = Server(
        name,
        settings or quick_settings(),
        state=state,
        tracing=tracing or Tracing(name, ratio=0.0, on_end=None),
        metrics=metrics,
    )
    for add_servicer, servicer, service_name in services:
        server.add(add_servicer, servicer, service_name)
    address = await server.start()
    try:
        if ready:
            await server.ready()
        async with grpc.aio.insecure_channel(address) as channel:
            yield Running(address, channel, server, metrics)
    finally:
        await server.drain()
