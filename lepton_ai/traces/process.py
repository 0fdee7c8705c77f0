"""One trace store process: opens the database, binds both ports, serves until told to stop, and closes in order."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.serving.http.server import HttpServer, listen
from lepton_ai.traces.ingest import Ingest
from lepton_ai.traces.otlp_grpc import grpc_server
from lepton_ai.traces.otlp_http import OtlpEndpoint
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.settings import TraceStoreSettings
from lepton_ai.traces.store import TraceStore
from lepton_ai.traces.web import make_app
from lepton_ai.traces.writer import SpanWriter

_logger = logging.getLogger(__name__)


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
        self._http = HttpServer(make_app(self._reader, otlp), drain_s=settings.drain_s)

    async def start(self) -> Addresses:
        """Bind and serve; raises FailedPrecondition when a port is taken."""
        host = self._settings.host
        listeners = [listen(host, self._settings.http_port, setting="LEPTON_TRACES_HTTP_PORT")]
        if self._settings.otlp_http_port is not None:
            listeners.append(listen(host, self._settings.otlp_http_port, setting="LEPTON_TRACES_OTLP_HTTP_PORT"))
        grpc_port = self._bind_grpc()
        await self._grpc.start()
        await self._http.start(listeners)
        ports = [listener.getsockname()[1] for listener in listeners]
        return Addresses(http=f"{host}:{ports[0]}", grpc=f"{host}:{grpc_port}", otlp_http=f"{host}:{ports[-1]}")

    async def until_ended(self) -> None:
        """Wait for the HTTP server to end before it was told to. Raises what ended it."""
        await self._http.until_ended()

    async def stop(self) -> None:
        """Finish what is in flight, write what is queued, close the database."""
        await asyncio.gather(self._http.stop(), self._grpc.stop(self._settings.drain_s))
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
