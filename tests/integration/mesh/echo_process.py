"""An echo service as a process of its own: `python -m tests.integration.mesh.echo_process`, told by LEPTON_ variables.

A message that is a number is answered after as many seconds. Prints "listening HOST:PORT" and "ready" lines.
"""

from __future__ import annotations

import asyncio
import sys

from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.launch import launch
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.settings import PublicSettings
from lepton_ai.mesh.tracing import Tracing
from tests.integration.mesh.echo import SERVICE, Echo, add_echo


class EchoSettings(PublicSettings):
    prepare_s: float = 0.0


async def act(text: str) -> str:
    await asyncio.sleep(float(text))
    return text


async def main() -> None:
    settings = EchoSettings.load()
    configure_logging("echo", level=settings.log_level, log_format="json")
    tracing = Tracing.create("echo", settings)
    server = Server("echo", settings, state=None, tracing=tracing, metrics=Metrics("echo"))
    server.add(add_echo, Echo(act), SERVICE)

    async def prepare() -> None:
        sys.stdout.write(f"listening {server.address}\n")
        sys.stdout.flush()
        await asyncio.sleep(settings.prepare_s)

    async def closed() -> None:
        sys.stdout.write("closed\n")

    server.on_close(closed)
    await run(server, prepare=prepare)
    sys.stdout.write("end\n")


if __name__ == "__main__":
    launch("tests.integration.mesh.echo_process:main")
