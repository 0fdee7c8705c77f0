"""Whose measurements are taken: all processes that are registered, their Tritons, etcd, and what settings name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lepton_ai.mesh.address import is_address
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.serving.server import METRICS_ADDRESS, TRITON_METRICS_ADDRESS

_UNIX = "unix:"
HOST = "host"
"""The service that this machine counts as; it is read without a page."""


OWN = "health"
"""The service that measures."""


@dataclass(frozen=True)
class Target:
    """One process."""

    service: str
    instance: str
    """HOST:PORT of its gRPC endpoint, where it has one."""
    address: str
    """HOST:PORT of its metrics page, or `unix:/PATH`."""


def of_endpoints(endpoints: Iterable[Endpoint]) -> set[Target]:
    """The registered processes and their Tritons. A Triton that several workers name is one target."""
    ordered = sorted(endpoints, key=lambda each: (each.service, each.address))
    found = {
        Target(each.service, each.address, _checked(each.metadata[METRICS_ADDRESS]))
        for each in ordered
        if METRICS_ADDRESS in each.metadata
    }
    tritons: dict[str, Target] = {}
    for each in ordered:
        address = each.metadata.get(TRITON_METRICS_ADDRESS)
        if address:
            tritons.setdefault(address, Target("triton", each.address, _checked(address)))
    return found | set(tritons.values())


def _checked(address: str) -> str:
    """Whoever registers names a port, no socket of this machine; what is no address is a target that is down."""
    return address if is_address(address) else ""


def of_etcd(address: str) -> Target:
    """etcd, whose page is where its clients are. The path of a socket is nobody's business."""
    return Target("etcd", "etcd" if address.startswith(_UNIX) else address, address)


def of_settings(named: Mapping[str, Sequence[str]]) -> set[Target]:
    """Service → addresses of pages that nobody registers."""
    return {Target(service, address, address) for service, addresses in named.items() for address in addresses}
