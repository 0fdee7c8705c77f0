"""The life of a service's process: bring the server up, wait for SIGTERM or SIGINT, drain, exit."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.serving.memory.garbage import spare_long_lived_objects
from lepton_ai.mesh.serving.memory.malloc import keep_freed_memory
from lepton_ai.mesh.serving.memory.program_pages import unmap_code
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.serving.stop_signals import stop_signals

logger = logging.getLogger(__name__)


async def run(
    server: Server,
    *,
    prepare: Callable[[], Awaitable[None]] | None = None,
    until: asyncio.Event | None = None,
) -> None:
    """Start the server, `prepare` (load, connect, warm up), say ready, serve until told to stop, drain.

    Told to stop by SIGTERM, SIGINT or `until`; a second signal cuts the drain short. A failing `prepare` drains and
    raises. Whatever happens, the server is drained when this returns.
    """
    stop = asyncio.Event() if until is None else until
    with stop_signals(_interrupt(server, stop)):
        bring_up = asyncio.ensure_future(_bring_up(server, prepare))
        waiting = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((bring_up, waiting), return_when=asyncio.FIRST_COMPLETED)
            if bring_up.done():
                bring_up.result()
                await waiting
        finally:
            waiting.cancel()
            bring_up.cancel()
            await asyncio.wait((bring_up,))
            await server.drain()


def run_process(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a service's main coroutine on uvloop. A LeptonError that ends it becomes one line and exit status 1."""
    keep_freed_memory()
    spare_long_lived_objects()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except LeptonError as error:
        logger.debug("the process ends", exc_info=error)
        sys.exit(f"error: {error}")


async def _bring_up(server: Server, prepare: Callable[[], Awaitable[None]] | None) -> None:
    await server.start()
    if prepare is not None:
        await prepare()
    unmap_code()
    await server.ready()


def _interrupt(server: Server, stop: asyncio.Event) -> Callable[[], None]:
    """What a signal does: the first one sets `stop`, further ones cut the drain short."""
    loop = asyncio.get_running_loop()
    cut: list[asyncio.Task[None]] = []

    def interrupt() -> None:
        if stop.is_set():
            cut.append(loop.create_task(server.stop_now()))
        stop.set()

    return interrupt
