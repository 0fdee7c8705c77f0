"""Servers of metrics pages: good ones, and such as hang, lie, or never stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """The address of a server that answers every request like this, and then hangs up."""
    handling: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())  # one that waits for ever must not be taken for garbage
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # nobody listens any more
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in filter(None, handling):
            task.cancel()
        await asyncio.gather(*filter(None, handling), return_exceptions=True)


def saying(*parts: bytes) -> Answer:
    """The same each time."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


def page(text: str) -> Answer:
    return saying(HEAD + text.encode())


async def hang(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"a 1\n")
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A little now and then, for ever."""
    writer.write(HEAD)
    while True:
        writer.write(b"a 1\n")
        await writer.drain()
        await asyncio.sleep(0.05)
