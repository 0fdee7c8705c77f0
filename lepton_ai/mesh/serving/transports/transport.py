"""The seam between a server and the network."""

from __future__ import annotations

import socket
from typing import Any, Protocol

from lepton_ai.errors import FailedPrecondition

RESERVED_RPCS = 100
"""Calls above the service's own limit that are still let in: health checks pass, floods are refused cheaply."""


class Transport(Protocol):
    """Takes calls from a port and hands them to the handlers that `registry` was given, inside the server's layers."""

    @property
    def registry(self) -> Any:
        """What add_…Servicer_to_server of generated code is given."""

    async def start(self) -> int:
        """Bind and serve; returns the port, of a worker its own. Raises FailedPrecondition when it is taken."""

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, give those in flight up to `grace_s` to finish, and cancel the rest.

        A second call can only shorten the time.
        """


def resolve(host: str, port: int) -> str:
    """The IP address of `host`. Raises FailedPrecondition when it has none."""
    try:
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise port_taken(host, port) from error


def check_port(ip: str, port: int) -> None:
    """Raises FailedPrecondition for a port or an address at which this process cannot listen."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ip, port))
            probe.listen(1)
    except OSError as error:
        raise port_taken(ip, port) from error


def port_taken(host: str, port: int) -> FailedPrecondition:
    """The error for a port that another process listens on."""
    return FailedPrecondition(
        f"Cannot listen on {host}, port {port}.",
        fix="Stop what is using the port, or set LEPTON_PORT (0 for any free one) and LEPTON_HOST.",
    )
