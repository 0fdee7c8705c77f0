"""A service that does nothing, as a process: what a call of it costs is what the transport and the layers cost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from lepton_ai.mesh.logs import configure_logging
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.launch import launch
from lepton_ai.mesh.serving.process import run
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.settings import PublicSettings
from lepton_ai.mesh.tracing import Tracing

SERVICE = "lepton.bench.Empty"


async def _unary(request: bytes, context: Any) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


def _add(_servicer: None, server: Any) -> None:
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


async def main() -> None:
    """Serve until SIGTERM."""
    settings = PublicSettings.load()
    configure_logging("empty", level="WARNING")
    server = Server("empty", settings, state=None, tracing=Tracing.create("empty", settings), metrics=Metrics("empty"))
    server.add(_add, None, SERVICE)

    async def prepare() -> None:
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()

    await run(server, prepare=prepare)


if __name__ == "__main__":
    launch("benchmarks.empty_service:main")
