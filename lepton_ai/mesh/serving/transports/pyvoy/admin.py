"""Gives orders to the Envoy that this process is."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
from pathlib import Path

_TIMEOUT_S = 5.0


class Admin:
    """Envoy's admin port. Blocks for milliseconds: Envoy answers from another thread of this process.

    The socket's file is deleted at once, so that a killed process leaves none and nobody else finds it; this holds on
    to it, which is enough for Linux to connect.
    """

    def __init__(self, path: str) -> None:
        self._socket = os.open(path, os.O_PATH | os.O_CLOEXEC)
        Path(path).unlink()
        Path(path).parent.rmdir()

    def drain(self) -> None:
        """Tell clients with GOAWAY to send no new calls, and take no new connections."""
        self._post("/drain_listeners?graceful&skip_exit")
        self._post("/drain_listeners")

    def active_streams(self, stats: str) -> int:
        """HTTP/2 streams whose last byte has not been handed to the system."""
        body = self._ask("GET", f"/stats?filter=^http.{stats}.downstream_rq_active$")
        found = re.search(rb": (\d+)", body)
        return int(found[1]) if found else 0

    def quit(self) -> None:
        """End Envoy, and so this process."""
        self._post("/quitquitquit")

    def _post(self, path: str) -> None:
        self._ask("POST", path)

    def _ask(self, method: str, path: str) -> bytes:
        with contextlib.closing(_SocketConnection(f"/proc/self/fd/{self._socket}")) as connection:
            connection.request(method, path)
            return connection.getresponse().read()


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
