"""The stream that keeps pages up to date: followed once, coalesced, bounded, and ended on drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lepton_ai.errors import ResourceExhausted, Unavailable
from lepton_ai.mesh.latest import Latest
from lepton_ai.testing import eventually
from services.health.console import live
from services.health.console.live import LiveFeed, every


@pytest.fixture
def number() -> Latest[int]:
    return Latest(1)


@pytest.fixture
async def feed(number: Latest[int]) -> AsyncIterator[LiveFeed]:
    made = LiveFeed({"number": number.changes}, draining=asyncio.Event())
    yield made
    await made.close()


async def next_event(events: AsyncIterator[str]) -> str:
    async with asyncio.timeout(5):
        return await anext(events)


async def opened(feed: LiveFeed) -> AsyncIterator[str]:
    events = await feed.events()
    assert await next_event(events) == "retry: 1000\n\n"
    return events


async def test_a_page_is_told_what_is_and_what_changes(feed: LiveFeed, number: Latest[int]) -> None:
    events = await opened(feed)
    assert await next_event(events) == "event: number\ndata: 1\n\n"
    number.set(2)
    assert await next_event(events) == "event: number\ndata: 2\n\n"


async def test_a_slow_page_misses_what_was_replaced(feed: LiveFeed, number: Latest[int]) -> None:
    events = await opened(feed)
    await next_event(events)
    for value in range(2, 50):
        number.set(value)
        await asyncio.sleep(0)
    number.set(50)

    async def last() -> bool:
        return await next_event(events) == "event: number\ndata: 50\n\n"

    await eventually(last, description="the newest value arrives")


async def test_topics_are_followed_once_and_only_while_a_page_is_open() -> None:
    followers = 0

    async def follow() -> AsyncIterator[int]:
        nonlocal followers
        followers += 1
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            followers -= 1

    feed = LiveFeed({"topic": follow}, draining=asyncio.Event())
    assert followers == 0
    one, other = await opened(feed), await opened(feed)
    await next_event(one)
    await next_event(other)
    assert (feed.pages, followers) == (2, 1)
    await one.aclose()  # type: ignore[attr-defined]
    assert followers == 1
    await other.aclose()  # type: ignore[attr-defined]
    assert (feed.pages, followers) == (0, 0)


async def test_a_page_that_comes_later_is_not_told_what_was_before(feed: LiveFeed, number: Latest[int]) -> None:
    events = await opened(feed)
    await next_event(events)
    await events.aclose()  # type: ignore[attr-defined]
    number.set(2)
    assert await next_event(await opened(feed)) == "event: number\ndata: 2\n\n"


async def test_a_drain_ends_the_stream() -> None:
    draining = asyncio.Event()
    feed = LiveFeed({"number": Latest(1).changes}, draining=draining)
    events = await opened(feed)
    await next_event(events)
    draining.set()
    with pytest.raises(StopAsyncIteration):
        await next_event(events)
    assert feed.pages == 0


async def test_too_many_pages_are_refused(feed: LiveFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MOST_PAGES", 1)
    events = await opened(feed)
    with pytest.raises(ResourceExhausted):
        await feed.events()
    await events.aclose()  # type: ignore[attr-defined]
    await opened(feed)


async def test_a_topic_that_cannot_be_asked_says_so_and_is_asked_again() -> None:
    answers: list[int | Unavailable] = [Unavailable("gone", fix="Start it."), 7]

    async def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    values = every(0.0, read)
    assert (await anext(values))["error"]["fix"] == "Start it."
    assert await anext(values) == 7


async def test_lines_cannot_break_out_of_an_event() -> None:
    feed = LiveFeed({"text": Latest("one\n\nevent: status\ndata: {}").changes}, draining=asyncio.Event())
    events = await opened(feed)
    assert (await next_event(events)).count("\n") == 3
    await events.aclose()  # type: ignore[attr-defined]
