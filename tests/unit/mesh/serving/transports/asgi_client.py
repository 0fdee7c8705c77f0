"""Calls a port as pyvoy does: what ASGI brings and takes, by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

from lepton_ai.mesh.serving.transports.pyvoy.port import Port
from lepton_ai.mesh.serving.transports.pyvoy.wire import CALL_ID

_ids = itertools.count()


class AsgiCall:
    """One call. `events` is what the port has sent so far; parts of a body wait for `read` while `holds` is set."""

    def __init__(self, port: Port, path: str, **headers: str) -> None:
        self.id = f"call-{next(_ids)}".encode()
        self.events: list[Mapping[str, Any]] = []
        self.holds = False
        self._held: list[asyncio.Future[None]] = []
        self._incoming: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        named = {"te": "trailers", "content-type": "application/grpc"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [*((key.encode(), value.encode()) for key, value in named.items()), (CALL_ID, self.id)],
            "client": ("127.0.0.1", 5),
        }
        self.task = asyncio.ensure_future(port.serve(scope, self._receive, self._send))

    def bring(self, body: bytes, *, more: bool = False) -> None:
        """Send a part of the request."""
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        """Leave while the request is read."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    def read(self) -> None:
        """Take what was held."""
        self.holds = False
        for future in self._held:
            future.set_result(None)
        self._held.clear()

    @property
    def bodies(self) -> list[bytes]:
        """The parts of the answer's body."""
        return [event["body"] for event in self.events if event["type"] == "http.response.body" and event["body"]]

    @property
    def trailers(self) -> dict[bytes, bytes]:
        """The status, wherever it is."""
        found: dict[bytes, bytes] = {}
        for event in self.events:
            if event["type"] in ("http.response.start", "http.response.trailers"):
                found |= dict(event["headers"])
        return found

    def _receive(self) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._incoming.get())

    def _send(self, event: Mapping[str, Any]) -> asyncio.Future[None]:
        self.events.append(event)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.holds and event.get("more_body"):
            self._held.append(sent)
        else:
            sent.set_result(None)
        return sent
