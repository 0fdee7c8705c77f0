"""Readers of a Latest see the newest value, skip what came between, and end when it closes."""

from __future__ import annotations

import asyncio

from lepton_ai.mesh.latest import Latest


async def test_the_value_comes_at_once() -> None:
    async for value in Latest(1).changes():
        assert value == 1
        break


async def test_values_in_between_are_skipped() -> None:
    latest = Latest(0)
    changes = latest.changes()
    assert await anext(changes) == 0
    for value in (1, 2, 3):
        latest.set(value)
    assert await anext(changes) == 3


async def test_a_waiting_reader_is_woken() -> None:
    latest = Latest("")
    changes = latest.changes()
    await anext(changes)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    latest.set("news")
    assert await asyncio.wait_for(waiting, 1) == "news"


async def test_an_equal_value_is_no_change() -> None:
    latest = Latest(1)
    changes = latest.changes()
    await anext(changes)
    latest.set(1)
    latest.close()
    assert [value async for value in changes] == []


async def test_the_last_value_is_seen_before_the_end() -> None:
    latest = Latest(1)
    changes = latest.changes()
    await anext(changes)
    latest.set(2)
    latest.close()
    assert [value async for value in changes] == [2]


async def test_every_reader_sees_the_newest() -> None:
    latest = Latest(0)
    readers = [latest.changes() for _ in range(3)]
    for reader in readers:
        await anext(reader)
    latest.set(7)
    assert [await anext(reader) for reader in readers] == [7, 7, 7]
