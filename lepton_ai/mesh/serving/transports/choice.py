"""Which transport a server uses."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_ai.mesh.serving.handlers import Layer
from lepton_ai.mesh.serving.transports.grpc_aio import GrpcTransport
from lepton_ai.mesh.serving.transports.pyvoy.transport import PyvoyTransport
from lepton_ai.mesh.serving.transports.transport import Transport
from lepton_ai.mesh.settings import PublicSettings, ServiceSettings


def make_transport(settings: ServiceSettings, layers: Sequence[Layer]) -> Transport:
    """The transport that the settings name; internal ports have no choice but grpc.aio."""
    if isinstance(settings, PublicSettings) and settings.transport == "pyvoy":
        return PyvoyTransport(settings, layers)
    return GrpcTransport(settings, layers)
