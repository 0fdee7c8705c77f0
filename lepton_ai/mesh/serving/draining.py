"""Ends long-lived streams when a server drains: after the messages that were read, rather than at the drain's
deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def until_set(requests: AsyncIterator[T], stop: asyncio.Event) -> AsyncIterator[T]:
    """Yield requests until they end or `stop` is set, whichever is first; a wait for the next one is interrupted.

    For a stream handler: `async for request in until_set(requests, server.draining)`, then answer what is in flight and
    return, which ends the stream with OK. Messages that were sent but not read, the client must send elsewhere. It
    costs one task a stream and next to nothing a message.
    """
    if stop.is_set():
        return  # without touching `requests`: gRPC warns of a reader that was made and never read
    reader: asyncio.Task[object] | None = None
    interrupted = False

    def interrupt(_: asyncio.Task[object]) -> None:
        nonlocal interrupted
        if reader is not None and stop.is_set():
            interrupted = True
            reader.cancel()

    watcher: asyncio.Task[object] = asyncio.create_task(stop.wait())
    watcher.add_done_callback(interrupt)
    iterator = aiter(requests)
    try:
        while not stop.is_set():
            reader = asyncio.current_task()
            try:
                request = await anext(iterator)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if interrupted and reader is not None and reader.uncancel() == 0:
                    return
                raise
            finally:
                reader = None
            yield request
    finally:
        watcher.cancel()
