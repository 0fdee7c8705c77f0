"""The preprocess service as one coroutine, whatever process it runs in."""

from __future__ import annotations

import warnings

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.logs.reporter import report_logs
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from services.preprocess.settings import PreprocessSettings
from services.preprocess.wiring import add_preprocess

NAME = "preprocess"


async def main() -> None:
    """Serve until SIGTERM."""
    # Pillow warns of damaged EXIF data, once for every odd photo, and an operator can do nothing about it.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    settings = PreprocessSettings.load()
    waiting = configure_logging(NAME, level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address, login=settings.etcd_login())
    tracing, metrics = Tracing.create(NAME, settings), Metrics(NAME)
    endpoints = await watch_endpoints(state, "health")
    health = ServicePool("health", endpoints, max_message_bytes=settings.max_message_bytes, caller="preprocess")
    try:
        await health.start()
        server = Server(NAME, settings, state=state, tracing=tracing, metrics=metrics)
        report_logs(server, waiting, health, token=settings.read_token())
        add_preprocess(server, settings, tracing=tracing, metrics=metrics)
        await run(server)
    finally:
        tracing.shutdown()
        await health.close()
        await endpoints.close()
        await state.close()
