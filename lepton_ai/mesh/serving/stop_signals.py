"""SIGTERM and SIGINT as calls on the loop, whichever thread it runs in."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` at each signal while the block runs.

    With asyncio's handlers, as a `finally` around the loop never runs on SIGTERM. Where the loop is not in the main
    thread, as inside Envoy, the signals must be blocked in all threads from the start; a thread then waits for them.
    """
    if threading.current_thread() is threading.main_thread():
        return _handled(interrupt)
    return _awaited(interrupt)


def _handled(interrupt: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _awaited(interrupt: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    ended = threading.Event()

    def wait() -> None:
        while not ended.is_set():
            signal.sigwait(STOP_SIGNALS)
            if not ended.is_set():
                loop.call_soon_threadsafe(interrupt)

    threading.Thread(target=wait, name="stop signals", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
