"""What changes, sent to every open page as it changes: one small JSON text for each topic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from lepton_ai.errors import LeptonError, ResourceExhausted
from lepton_ai.mesh.latest import Latest
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.serving.draining import until_set
from services.health.console.answers import describe_error

Follow = Callable[[], AsyncIterator[Any]]
"""Starts to follow a topic: yields what it is now, and again after every change."""
_MOST_PAGES = 64


class LiveFeed:
    """Follows every topic once, however many pages look; and only while one does."""

    def __init__(self, topics: Mapping[str, Follow], *, draining: asyncio.Event) -> None:
        self._topics = topics
        self._draining = draining
        self._newest: Latest[Mapping[str, str]] = Latest({})
        self._pages = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pages(self) -> int:
        """How many are open."""
        return self._pages

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events for one page until it leaves or the service drains.

        A page that is slow misses what was replaced meanwhile. Raises ResourceExhausted at once when too many are open.
        """
        if self._pages >= _MOST_PAGES:
            raise ResourceExhausted(
                "Too many pages are open.", fix="Close some of them, and load this one again.", retry_after_s=10.0
            )
        return self._stream()

    async def close(self) -> None:
        """Stop following."""
        await self._stop()
        self._newest.close()

    async def _stream(self) -> AsyncIterator[str]:
        sent: Mapping[str, str] = {}
        self._enter()
        try:
            yield "retry: 1000\n\n"
            async for topics in until_set(self._newest.changes(), self._draining):
                for topic, text in topics.items():
                    if sent.get(topic) != text:
                        yield f"event: {topic}\ndata: {text}\n\n"
                sent = topics
        finally:
            await self._leave()

    def _enter(self) -> None:
        self._pages += 1
        if not self._tasks:
            self._tasks = [
                run_loop(partial(self._follow, topic, follow), name=f"follow {topic} for the console")
                for topic, follow in self._topics.items()
            ]

    async def _leave(self) -> None:
        self._pages -= 1
        if self._pages == 0:
            await self._stop()
            self._newest.set({})  # the next page must not begin with what was so long ago

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, topic: str, follow: Follow) -> None:
        async for value in follow():
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            if self._newest.value.get(topic) != text:
                self._newest.set({**self._newest.value, topic: text})


async def every(interval_s: float, read: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    """A topic that is asked for again and again; where that fails, its value is the error."""
    while True:
        try:
            value = await read()
        except LeptonError as error:
            value = describe_error(error)
        yield value
        await asyncio.sleep(interval_s)
