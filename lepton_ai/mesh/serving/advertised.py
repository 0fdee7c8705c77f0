"""The address under which others reach a process that listens on some interface and port."""

from __future__ import annotations

import ipaddress
import socket

from lepton_ai.errors import FailedPrecondition

_WILDCARDS = frozenset({"0.0.0.0", "::", "[::]", "*"})  # noqa: S104 - recognised, not bound to
_DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)
"""It never answers; connecting a UDP socket to it sends nothing and tells which of our addresses would be used."""


def advertised_address(host: str, port: int, advertise: str | None) -> str:
    """HOST:PORT for discovery: `advertise` (its port, or else ours), else the interface, else this machine's address.

    Raises FailedPrecondition when the process listens on all interfaces and the machine has no address to give.
    """
    if advertise:
        return advertise if names_port(advertise) else _join(advertise, port)
    return _join(_outgoing_address() if host in _WILDCARDS else host, port)


def names_port(advertise: str) -> bool:
    """Whether an address to advertise has a port of its own."""
    named, separator, port = advertise.rpartition(":")
    return bool(separator and port.isdecimal() and named)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`, a name or an address (IPv6 with or without [])."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _outgoing_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_DOCUMENTATION_ADDRESS)
        except OSError as error:
            raise FailedPrecondition(
                "This machine has no address that others could use.",
                fix="Set LEPTON_ADVERTISE_ADDRESS to the host name or address under which this process is reached.",
            ) from error
        address: str = probe.getsockname()[0]
        return address
