"""An echo service whose process warns of every message: `python -m tests.integration.health.noisy_process`."""

from __future__ import annotations

import logging
import sys

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.logs.reporter import report_logs
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.launch import launch
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.settings import ServiceSettings
from lepton_ai.mesh.tracing import Tracing
from tests.integration.mesh.echo import SERVICE, Echo, add_echo

_log = logging.getLogger("lepton.noisy")


async def act(text: str) -> str:
    _log.warning("heard %s", text, extra={"text": text})
    _log.info("nobody need know of %s", text)
    return text


async def main() -> None:
    settings = ServiceSettings.load()
    waiting = configure_logging("noisy", level=settings.log_level)
    state = EtcdStore(settings.etcd_address)
    endpoints = await watch_endpoints(state, "health")
    health = ServicePool("health", endpoints)
    await health.start()
    tracing = Tracing.create("noisy", settings)
    server = Server("noisy", settings, state=state, tracing=tracing, metrics=Metrics("noisy"))
    report_logs(server, waiting, health, token=settings.read_token())
    server.add(add_echo, Echo(act), SERVICE)

    async def prepare() -> None:
        sys.stdout.write(f"listening {server.address}\n")
        sys.stdout.flush()

    await run(server, prepare=prepare)
    await health.close()
    await endpoints.close()
    await state.close()


if __name__ == "__main__":
    launch("tests.integration.health.noisy_process:main", ServiceSettings)
