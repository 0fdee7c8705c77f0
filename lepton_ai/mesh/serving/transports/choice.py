"""Which transport a server uses."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_ai.mesh.serving.handlers import Layer
from lepton_ai.mesh.serving.transports.grpc_aio import GrpcTransport
from lepton_ai.mesh.serving.transports.pyvoy.embedded import is_embedded
from lepton_ai.mesh.serving.transports.pyvoy.transport import PyvoyTransport
from lepton_ai.mesh.serving.transports.transport import Transport
from lepton_ai.mesh.settings import PublicSettings, ServiceSettings


def make_transport(settings: ServiceSettings, layers: Sequence[Layer]) -> Transport:
    """The transport that the settings name; internal ports have no choice but grpc.aio.

    Where they leave it open, `launch` has decided it for the process; a server in any other process has grpc.aio.
    """
    if isinstance(settings, PublicSettings):
        chosen = settings.transport
        if chosen == "pyvoy" or (chosen == "auto" and is_embedded()):
            return PyvoyTransport(settings, layers)
    return GrpcTransport(settings, layers)
