"""Runs the registry: `python -m services.registry`."""

from __future__ import annotations

from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.process import run, run_process
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server
from services.registry.registry import Registry
from services.registry.servicer import SERVICE_NAME
from services.registry.settings import RegistrySettings

NAME = "registry"


async def main() -> None:
    """Serve until SIGTERM."""
    settings = RegistrySettings.load()
    configure_logging(NAME, level=settings.log_level, log_format=settings.log_format)
    state = EtcdStore(settings.etcd_address)
    try:
        registry = await Registry.open(settings, state)
        tracing = Tracing.create(NAME, settings)
        server = Server(NAME, settings, state=state, tracing=tracing, metrics=Metrics(NAME))
        server.add(add_RegistryServiceServicer_to_server, registry.servicer, SERVICE_NAME)
        server.on_close(registry.close)
        await run(server)
        tracing.shutdown()
    finally:
        await state.close()


if __name__ == "__main__":
    run_process(main)
