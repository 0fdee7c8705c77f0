"""Runs a service inside Envoy: its main coroutine on pyvoy's loop, its port as soon as the server opens one."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.mesh.serving.memory.garbage import spare_long_lived_objects
from lepton_ai.mesh.serving.memory.malloc import keep_freed_memory
from lepton_ai.mesh.serving.transports.pyvoy.admin import Admin
from lepton_ai.mesh.serving.transports.pyvoy.call import Event, Receive, Send
from lepton_ai.mesh.serving.transports.pyvoy.exec import Orders
from lepton_ai.mesh.serving.transports.pyvoy.port import Port

logger = logging.getLogger(__name__)

_END_TIMEOUT_S = 5.0
_SAYS_WHY_S = 0.5


class Embedding:
    """This process's Envoy, as the service inside it knows it."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.admin: Admin | None = None
        self.opened = asyncio.Event()
        """Set when the service wants Envoy to listen."""
        self.ending = asyncio.Event()
        """Set when Envoy ends."""

    def open(self, port: Port) -> None:
        """Have Envoy listen and `port` answer its calls."""
        global _serve
        port.watch_gone(self.orders.gone_pipe)
        _serve = port.serve
        self.opened.set()


_embedding: Embedding | None = None
_serve: Callable[[Event, Receive, Send], Awaitable[None]]
"""The open port's. Envoy listens only after there is one."""


def embedding() -> Embedding:
    """Raises FailedPrecondition where this process is no Envoy."""
    if _embedding is None:
        raise FailedPrecondition(
            "LEPTON_TRANSPORT=pyvoy works in a service's own process only.",
            fix="Start it with python -m services.NAME, or set LEPTON_TRANSPORT=grpc.",
        )
    return _embedding


def is_embedded() -> bool:
    """Whether this process is an Envoy."""
    return _embedding is not None


def application(scope: Event, receive: Receive, send: Send) -> Any:
    """What pyvoy calls: once for the life of the process, and for every call."""
    if scope["type"] == "http":
        return _serve(scope, receive, send)
    return _live(receive, send)


application._asgi_single_callable = True  # type: ignore[attr-defined]  # so that the function may be a plain one


async def _live(receive: Receive, send: Send) -> None:
    """ASGI's lifespan: Envoy listens when the service has opened its port, and ends when the service has ended."""
    global _embedding
    await receive()
    orders = Orders.take()
    if orders is None:
        raise RuntimeError("the process was not started by become_envoy")
    _embedding = here = Embedding(orders)
    _restore(orders)
    main = asyncio.ensure_future(_main(orders))
    opened = asyncio.ensure_future(here.opened.wait())
    await asyncio.wait((main, opened), return_when=asyncio.FIRST_COMPLETED)
    if main.done():
        _exit(main.result())
    await send({"type": "lifespan.startup.complete"})
    main.add_done_callback(_quit)
    await receive()
    here.ending.set()
    if main.done():
        _exit(main.result())
    # Envoy ends by itself. What waits for it to listen says why; otherwise the service ends as told by a signal.
    await asyncio.wait((main,), timeout=_SAYS_WHY_S)
    if not main.done():
        os.kill(os.getpid(), signal.SIGTERM)
    _exit(await main or 1)


def _restore(orders: Orders) -> None:
    """Make the process what it was before it became Envoy, for the service and for programs that it starts."""
    os.chdir(orders.directory)
    sys.path[:] = orders.path
    sys.executable = orders.executable
    for name, value in orders.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    keep_freed_memory()


async def _main(orders: Orders) -> int:
    """Run the service; returns the exit status. A LeptonError that ends it becomes one line, as in `run_process`."""
    module, _, function = orders.main.partition(":")
    try:
        main = getattr(importlib.import_module(module), function)
        spare_long_lived_objects()  # only now are its modules there
        await main()
    except LeptonError as error:
        logger.debug("the process ends", exc_info=error)
        sys.stderr.write(f"error: {error}\n")
        return 1
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the process as it would outside of Envoy
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _quit(main: asyncio.Future[int]) -> None:
    """Have Envoy close its connections and end; whatever keeps it from doing so, the process ends."""
    status = main.result()
    here = embedding()
    if status == 0 and here.admin is not None and not here.ending.is_set():
        asyncio.get_running_loop().call_later(_END_TIMEOUT_S, _exit, status)
        here.admin.quit()
    else:
        _exit(status)


def _exit(status: int) -> None:
    if _embedding is not None:
        shutil.rmtree(Path(_embedding.orders.admin_socket).parent, ignore_errors=True)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
