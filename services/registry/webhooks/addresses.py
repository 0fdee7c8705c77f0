"""Where webhooks may go: never to what only this machine's network reaches, unless a setting allows it.

A webhook makes the registry call an address that somebody else names (server-side request forgery). So the address is
judged after the name was resolved, and exactly that address is connected to: a name that resolves otherwise the next
time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from lepton_ai.errors import InvalidInput, PermissionDenied, Unavailable
from lepton_ai.mesh.serving.advertised import is_loopback

MAX_URL_LENGTH = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Reach:
    """Which addresses webhooks may go to."""

    loopback: bool = False
    """Whether this machine, as from a registry that only this machine reaches."""
    private: bool = False
    """Whether private networks and this machine, and without TLS."""

    def check_url(self, url: str) -> SplitResult:
        """Raises InvalidInput for what can never be called from here."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise InvalidInput.of_field("url", "cannot be read") from None
        plain = not url.isascii() or not url.isprintable() or " " in url
        if len(url) > MAX_URL_LENGTH or plain or not host or parts.scheme not in ("http", "https"):
            raise InvalidInput.of_field("url", "must be https://HOST/PATH, with other characters as %XX")
        if parts.username is not None or parts.password is not None:
            raise InvalidInput.of_field("url", "holds a password", fix="Receivers check the signature instead.")
        if parts.scheme == "http" and not self.private and not (self.loopback and is_loopback(host)):
            raise InvalidInput.of_field(
                "url",
                "is not encrypted",
                fix="Use https; or set LEPTON_WEBHOOK_PRIVATE=true in your own network.",
            )
        return parts

    def allows(self, address: Address) -> bool:
        """Whether an address may be connected to. Link-local ones never: there lie the keys of clouds' machines."""
        address = _inner(address)
        if address.is_loopback:
            return self.loopback or self.private
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return False
        return address.is_global or (self.private and address.is_private)

    async def resolve(self, parts: SplitResult) -> str:
        """An address of a URL's host that may be connected to. Raises PermissionDenied, Unavailable."""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unavailable("The webhook's host cannot be found.", reason="WEBHOOK_HOST") from error
        addresses = [str(each[4][0]) for each in found]
        for address in addresses:
            if self.allows(ipaddress.ip_address(address.partition("%")[0])):
                return address
        raise PermissionDenied(
            "The webhook's host lies in a private network.",
            reason="WEBHOOK_PRIVATE",
            fix="Set LEPTON_WEBHOOK_PRIVATE=true on the registry if it may call there.",
        )


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
