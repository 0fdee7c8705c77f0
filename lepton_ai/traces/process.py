"""One trace store process: opens the database, binds both ports, serves until told to stop, and closes in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

from lepton_ai.errors import FailedPrecondition
from lepton_ai.traces.ingest import Ingest
from lepton_ai.traces.otlp_grpc import grpc_server
from lepton_ai.traces.otlp_http import OtlpEndpoint
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.settings import TraceStoreSettings
from lepton_ai.traces.store import TraceStore
from lepton_ai.traces.web import make_app
from lepton_ai.traces.writer import SpanWriter

_logger = logging.getLogger(__name__)
_START_TIMEOUT_S = 10.0
_BACKLOG = 128


@dataclass(frozen=True)
class Addresses:
    """Where a running store listens (host:port)."""

    http: str
    grpc: str
    otlp_http: str
    """The second HTTP port; the same as `http` when none was asked for."""


class TraceStoreProcess:
    """Everything one store is made of; `start`, then `stop`."""

    def __init__(self, settings: TraceStoreSettings) -> None:
        """Opens the database; raises FailedPrecondition when the file is something else."""
        self._settings = settings
        store = TraceStore(
            settings.db,
            max_spans=settings.max_spans,
            max_stored_bytes=settings.max_stored_bytes,
            max_trace_spans=settings.max_trace_spans,
        )
        self._writer = SpanWriter(
            store, max_queued_spans=settings.max_queued_spans, max_queued_bytes=settings.max_queued_bytes
        )
        self._reader = TraceReader(settings.db, store.directory)
        ingest = Ingest(self._writer, max_span_bytes=settings.max_span_bytes, write_timeout_s=settings.write_timeout_s)
        self._grpc = grpc_server(ingest, max_request_bytes=settings.max_request_bytes)
        otlp = OtlpEndpoint(ingest, max_request_bytes=settings.max_request_bytes)
        self._http = _HttpServer(
            uvicorn.Config(
                make_app(self._reader, otlp),
                access_log=False,
                log_config=None,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                date_header=False,  # it would have to be kept up to date
                timeout_graceful_shutdown=max(1, round(settings.drain_s)),
            )
        )
        self._http_task: asyncio.Task[None] | None = None

    async def start(self) -> Addresses:
        """Bind and serve; raises FailedPrecondition when a port is taken."""
        host = self._settings.host
        listeners = [_listen(host, self._settings.http_port, name="HTTP_PORT")]
        if self._settings.otlp_http_port is not None:
            listeners.append(_listen(host, self._settings.otlp_http_port, name="OTLP_HTTP_PORT"))
        grpc_port = self._bind_grpc()
        await self._grpc.start()
        self._http_task = asyncio.create_task(self._http.serve(listeners))
        async with asyncio.timeout(_START_TIMEOUT_S):
            await self._http.listening.wait()
        ports = [listener.getsockname()[1] for listener in listeners]
        return Addresses(http=f"{host}:{ports[0]}", grpc=f"{host}:{grpc_port}", otlp_http=f"{host}:{ports[-1]}")

    async def until_ended(self) -> None:
        """Wait for the HTTP server to end before it was told to. Raises what ended it."""
        if self._http_task is not None:
            await asyncio.shield(self._http_task)

    async def stop(self) -> None:
        """Finish what is in flight, write what is queued, close the database."""
        self._http.stop()
        await self._grpc.stop(self._settings.drain_s)
        if self._http_task is not None:
            await self._http_task
        await asyncio.to_thread(self._writer.close, timeout_s=self._settings.drain_s)
        await asyncio.to_thread(self._reader.close)

    def _bind_grpc(self) -> int:
        address = f"{self._settings.host}:{self._settings.grpc_port}"
        try:
            return int(self._grpc.add_insecure_port(address))
        except RuntimeError as error:  # how grpc says that a port is taken
            raise FailedPrecondition(
                f"Cannot listen on {address}.", fix="Set LEPTON_TRACES_GRPC_PORT to a free port, or 0 for any."
            ) from error


class _HttpServer(uvicorn.Server):
    """uvicorn inside a process that handles its own signals, and that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Sleep until the end; uvicorn's own wakes up ten times a second to look whether it has come."""
        self.server_state.default_headers = list(self.config.encoded_headers)
        await self._stopping.wait()

    def stop(self) -> None:
        """End `serve` once the requests in flight are answered."""
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _listen(host: str, port: int, *, name: str) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise FailedPrecondition(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            fix=f"Set LEPTON_TRACES_{name} to a free port, or 0 for any.",
        ) from error
    # asyncio does this only for sockets that were made with an explicit protocol; without it an answer of two packets
    # waits 40 ms for the client's delayed acknowledgement. Accepted connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
