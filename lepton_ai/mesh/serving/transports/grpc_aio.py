"""Calls by way of grpc.aio: what every port uses that only services of the platform call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from lepton_ai.mesh.serving.handlers import Layer, LayeredInterceptor
from lepton_ai.mesh.serving.transports.transport import RESERVED_RPCS, port_taken
from lepton_ai.mesh.settings import PublicSettings, ServiceSettings

_NO_COMPRESSION = 0b001
"""One bit for each of gRPC's compression algorithms, by number: only identity is on."""
_MIN_PING_INTERVAL_MS = 10_000
"""Clients may ping an idle connection every 20 s; half of that leaves room for a ping that comes early."""


class GrpcTransport:
    """A `Transport` that is a server of grpc.aio."""

    def __init__(self, settings: ServiceSettings, layers: Sequence[Layer]) -> None:
        self._host, self._ports = settings.host, settings.ports
        self._tls = settings.tls() if isinstance(settings, PublicSettings) else None
        self._server = grpc.aio.server(
            interceptors=[LayeredInterceptor(layers)],
            options=_options(settings),
            maximum_concurrent_rpcs=settings.max_concurrent_rpcs + RESERVED_RPCS,
        )

    @property
    def registry(self) -> grpc.aio.Server:
        """The server itself."""
        return self._server

    async def start(self) -> int:
        """Bind and serve; returns the port, a worker's own. Raises FailedPrecondition when it is taken."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        for wanted in self._ports:
            try:
                port = self._bind(f"{host}:{wanted}")
            except RuntimeError as error:
                raise port_taken(self._host, wanted) from error
        await self._server.start()
        return port

    def _bind(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        pairs = [(self._tls.key.read_bytes(), self._tls.cert.read_bytes())]
        client_ca = self._tls.client_ca.read_bytes() if self._tls.client_ca is not None else None
        credentials = grpc.ssl_server_credentials(pairs, client_ca, require_client_auth=client_ca is not None)
        return self._server.add_secure_port(address, credentials)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, and cancel those in flight that do not finish within `grace_s`."""
        await self._server.stop(grace_s or None)


def _options(settings: ServiceSettings) -> list[tuple[str, Any]]:
    """Channel arguments of a server: limits, and keep-alive that suits clients that ping every 20 s without data."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # gRPC unpacks a message before it looks at its size, so a megabyte of gzip would become a gigabyte. Compressed
        # messages are therefore refused with UNIMPLEMENTED, and nothing is unpacked before that.
        ("grpc.compression_enabled_algorithms_bitset", _NO_COMPRESSION),
        ("grpc.per_message_decompression", 0),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        ("grpc.so_reuseport", int(settings.worker is not None)),  # others would share a port silently
        # Without this, clients may ping an idle connection only every two hours.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", 2),
        # The other direction: notice clients that vanished without closing.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
