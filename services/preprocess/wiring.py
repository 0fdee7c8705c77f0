"""Puts the parts of the preprocess service together on a server."""

from __future__ import annotations

import asyncio

from prometheus_client import Gauge

from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.v1.preprocess_pb2_grpc import add_PreprocessServiceServicer_to_server
from services.preprocess.processor import Processor
from services.preprocess.servicer import SERVICE_NAME, PreprocessServicer
from services.preprocess.settings import PreprocessSettings
from services.preprocess.stream_memory import make_memory
from services.preprocess.workers import Workers


def add_preprocess(server: Server, settings: PreprocessSettings, *, tracing: Tracing, metrics: Metrics) -> Workers:
    """Serve preprocessing on `server`; its threads end when the server has drained."""
    workers = Workers(
        Processor(settings.limits, tracing, metrics).process,
        threads=settings.threads,
        max_queue_items=settings.max_queue_items,
        max_queue_bytes=settings.max_queue_bytes,
    )
    Gauge("lepton_preprocess_queue_items", "Items that wait for a worker.", registry=metrics.registry).set_function(
        lambda: workers.waiting_items
    )
    memory = make_memory(settings.shared_memory_bytes)
    Gauge(
        "lepton_preprocess_shared_bytes",
        "Shared memory with tensors that their clients have not taken yet.",
        registry=metrics.registry,
    ).set_function(lambda: 0 if memory is None else memory.held_bytes)
    servicer = PreprocessServicer(workers, tracing, settings, draining=server.draining, memory=memory)
    server.add(add_PreprocessServiceServicer_to_server, servicer, SERVICE_NAME)

    async def close() -> None:
        await asyncio.to_thread(workers.close)
        if memory is not None:
            memory.close()

    server.on_close(close)
    return workers
