"""Ports that are held for several processes: bound and never listened on, so that nobody else can take them."""

from __future__ import annotations

import socket

from lepton_ai.mesh.serving.transports.transport import check_port, port_taken, resolve


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the port (0: any free one) as long as it is open, also over a change of program.

    Processes of the same user that bind with SO_REUSEPORT may listen there. Raises FailedPrecondition when it is taken.
    """
    ip = resolve(host, port)
    if port:
        check_port(ip, port)  # SO_REUSEPORT would let two services share it silently
    held = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((ip, port))
    except OSError as error:
        held.close()
        raise port_taken(host, port) from error
    held.set_inheritable(True)
    return held
