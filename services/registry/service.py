"""The registry as one coroutine, whatever process it runs in."""

from __future__ import annotations

import logging

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.logs.reporter import report_logs
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.advertised import is_loopback
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from services.registry.registry import Registry
from services.registry.rollouts.opinions import Opinions
from services.registry.rollouts.prometheus import HealthMetrics
from services.registry.servicer import OPEN_METHODS, SERVICE_NAME, RegistryServicer
from services.registry.settings import RegistrySettings

NAME = "registry"

logger = logging.getLogger(__name__)


async def main() -> None:
    """Serve until SIGTERM."""
    settings = RegistrySettings.load()
    waiting = configure_logging(NAME, level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address, login=settings.etcd_login())
    endpoints = await watch_endpoints(state, "health")
    health = ServicePool("health", endpoints, max_message_bytes=settings.max_message_bytes, caller="registry")
    try:
        await health.start()
        registry = await Registry.open(settings, state, Opinions(health), HealthMetrics(health))
        tracing = Tracing.create(NAME, settings)
        server = Server(NAME, settings, state=state, tracing=tracing, metrics=Metrics(NAME))
        report_logs(server, waiting, health, token=settings.read_token())
        server.add(RegistryServicer.add_to, registry.servicer, SERVICE_NAME)
        _protect(server, settings)
        server.on_close(registry.close)
        await run(server)
        tracing.shutdown()
    finally:
        await health.close()
        await endpoints.close()
        await state.close()


def _protect(server: Server, settings: RegistrySettings) -> None:
    """Require the token. Without one, raises FailedPrecondition when other machines could change what is served."""
    tokens = settings.tokens()
    if tokens:
        server.require_token(tokens, SERVICE_NAME, open_methods=OPEN_METHODS)
    elif not is_loopback(settings.host):
        raise FailedPrecondition(
            "Without a token, everybody who reaches this registry could change what is served.",
            reason="NO_TOKEN",
            fix="Set LEPTON_TOKEN or LEPTON_TOKEN_FILE, or listen on 127.0.0.1 only (LEPTON_HOST).",
        )
    else:
        logger.warning("without a token, every user of this machine may change what is served")
