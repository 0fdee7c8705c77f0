"""An HTTP server inside a process that has other work, too: uvicorn that leaves signals to its process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from lepton_ai.errors import FailedPrecondition

_BACKLOG = 128
_START_TIMEOUT_S = 10.0


class HttpServer(uvicorn.Server):
    """Serves one application from `start` to `stop`."""

    def __init__(self, app: Callable[..., Any], *, drain_s: float) -> None:
        """`app` speaks ASGI; `drain_s`: how long requests in flight may take once it stops, at least a second."""
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            date_header=False,  # it would have to be kept up to date
            timeout_graceful_shutdown=max(1, round(drain_s)),
        )
        super().__init__(config)
        self._listening = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serve on these sockets; returns when it does."""
        self._task = asyncio.create_task(self.serve(list(listeners)))
        async with asyncio.timeout(_START_TIMEOUT_S):
            await self._listening.wait()

    async def until_ended(self) -> None:
        """Wait for it to end before it was told to. Raises what ended it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """End once the requests in flight are answered."""
        self.should_exit = True
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def main_loop(self) -> None:
        """Sleep until the end; uvicorn's own wakes up ten times a second to look whether it has come."""
        self.server_state.default_headers = list(self.config.encoded_headers)
        await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """A socket that listens, 0: on any free port. Raises FailedPrecondition when it is taken; `setting` chose it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise FailedPrecondition(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            fix=f"Set {setting} to a free port, or 0 for any.",
        ) from error
    # asyncio does this only for sockets that were made with an explicit protocol; without it an answer of two packets
    # waits 40 ms for the client's delayed acknowledgement. Accepted connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
