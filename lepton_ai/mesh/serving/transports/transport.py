"""The seam between a server and the network."""

from __future__ import annotations

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
        """Bind and serve; returns the port. Raises FailedPrecondition when it is taken."""

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, give those in flight up to `grace_s` to finish, and cancel the rest.

        A second call can only shorten the time.
        """


def port_taken(host: str, port: int) -> FailedPrecondition:
    """The error for a port that another process listens on."""
    return FailedPrecondition(
        f"Cannot listen on {host}, port {port}.",
        fix="Stop what is using the port, or set LEPTON_PORT (0 for any free one) and LEPTON_HOST.",
    )
