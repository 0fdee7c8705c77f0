"""The inference service as one coroutine, whatever process it runs in."""

from __future__ import annotations

from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.logs.reporter import report_logs
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import TRITON_METRICS_ADDRESS, Server
from lepton_ai.mesh.tracing import Tracing
from services.inference.settings import InferenceSettings
from services.inference.triton.client import Triton
from services.inference.wiring import Connections, InferenceReplica

NAME = "inference"


async def main() -> None:
    """Serve until SIGTERM."""
    settings = InferenceSettings.load()
    waiting = configure_logging(NAME, level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address, login=settings.etcd_login())
    tracing, metrics = Tracing.create(NAME, settings), Metrics(NAME)
    triton = Triton(settings.triton_address, max_message_bytes=settings.max_message_bytes)
    connections = await Connections.open(state, triton, settings, tracing)
    try:
        triton_metrics = settings.triton_metrics_address
        metadata = {TRITON_METRICS_ADDRESS: triton_metrics} if triton_metrics is not None else {}
        server = Server(NAME, settings, state=state, tracing=tracing, metrics=metrics, metadata=metadata)
        report_logs(server, waiting, connections.health, token=settings.read_token())
        replica = InferenceReplica(server, settings, connections, tracing=tracing, metrics=metrics)
        await run(server, prepare=replica.start)
    finally:
        await connections.close()
        tracing.shutdown()
        await state.close()
