"""Calls by way of the Envoy that this process is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.serving.handlers import Layer
from lepton_ai.mesh.serving.transports.pyvoy.admin import Admin
from lepton_ai.mesh.serving.transports.pyvoy.embedded import embedding
from lepton_ai.mesh.serving.transports.pyvoy.envoy import GO_AWAY_S, STATS
from lepton_ai.mesh.serving.transports.pyvoy.methods import Methods
from lepton_ai.mesh.serving.transports.pyvoy.port import Port
from lepton_ai.mesh.serving.transports.transport import RESERVED_RPCS, check_port, port_taken, resolve
from lepton_ai.mesh.settings import PublicSettings

_START_TIMEOUT_S = 20.0
_FLUSH_TIMEOUT_S = 1.0
_GOING_S = 3 * GO_AWAY_S
_POLL_S = 0.005


class PyvoyTransport:
    """A `Transport` in a process that `become_envoy` has started."""

    def __init__(self, settings: PublicSettings, layers: Sequence[Layer]) -> None:
        self._settings = settings
        self._methods = Methods(layers)
        self._port = Port(
            self._methods,
            max_bytes=settings.max_message_bytes,
            max_calls=settings.max_concurrent_rpcs + RESERVED_RPCS,
            default_timeout_s=settings.default_timeout_s,
        )
        self._draining = False

    @property
    def registry(self) -> Methods:
        """What generated code adds handlers to."""
        return self._methods

    async def start(self) -> int:
        """Have Envoy listen; returns the port. Raises FailedPrecondition when it is taken."""
        here, settings = embedding(), self._settings
        if settings.worker is None:
            check_port(resolve(settings.host, settings.port), settings.port)
        others = _listening_ports()
        here.open(self._port)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while len(ports := _listening_ports() - others) < len(settings.ports):
                    if here.ending.is_set():
                        raise port_taken(settings.host, settings.port)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise Unavailable("Envoy does not begin to listen.", fix="Look at its lines in the log.") from error
        self._admin = here.admin = Admin(here.orders.admin_socket)
        return ports.pop() if settings.worker is None else settings.worker.port

    async def stop(self, grace_s: float) -> None:
        """Tell clients to go, and end the calls that do not finish within `grace_s`.

        A client is told with the next answer that it gets; what it sends until it has understood is answered.
        """
        if not self._draining:
            self._draining = True
            self._admin.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await asyncio.sleep(_GOING_S)
                await self._port.until_idle()
        self._port.closed = True
        self._port.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_TIMEOUT_S):
                while self._admin.active_streams(STATS):  # noqa: ASYNC110 - Envoy tells nobody
                    await asyncio.sleep(_POLL_S)


def _listening_ports() -> set[int]:
    """The ports of this process's TCP sockets that listen, Envoy's among them."""
    ports: set[int] = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        try:
            duplicate = socket.socket(fileno=os.dup(int(number)))
        except OSError:  # no socket
            continue
        with duplicate:
            if duplicate.family in (socket.AF_INET, socket.AF_INET6) and duplicate.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                ports.add(duplicate.getsockname()[1])
    return ports
