"""The registry as one coroutine, whatever process it runs in."""

from __future__ import annotations

import logging

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.advertised import is_loopback
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server
from services.registry.registry import Registry
from services.registry.servicer import OPEN_METHODS, SERVICE_NAME
from services.registry.settings import RegistrySettings

NAME = "registry"

logger = logging.getLogger(__name__)


async def main() -> None:
    """Serve until SIGTERM."""
    settings = RegistrySettings.load()
    configure_logging(NAME, level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address, login=settings.etcd_login())
    try:
        registry = await Registry.open(settings, state)
        tracing = Tracing.create(NAME, settings)
        server = Server(NAME, settings, state=state, tracing=tracing, metrics=Metrics(NAME))
        server.add(add_RegistryServiceServicer_to_server, registry.servicer, SERVICE_NAME)
        _protect(server, settings)
        server.on_close(registry.close)
        await run(server)
        tracing.shutdown()
    finally:
        await state.close()


def _protect(server: Server, settings: RegistrySettings) -> None:
    """Require the token. Without one, raises FailedPrecondition when other machines could change what is served."""
    token = settings.read_token()
    if token:
        server.require_token(token, SERVICE_NAME, open_methods=OPEN_METHODS)
    elif not is_loopback(settings.host):
        raise FailedPrecondition(
            "Without a token, everybody who reaches this registry could change what is served.",
            reason="NO_TOKEN",
            fix="Set LEPTON_TOKEN or LEPTON_TOKEN_FILE, or listen on 127.0.0.1 only (LEPTON_HOST).",
        )
    else:
        logger.warning("without a token, every user of this machine may change what is served")
