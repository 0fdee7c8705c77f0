"""Worlds that are closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.health.alerts.making import World

MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[MakeWorld]:
    worlds: list[World] = []

    def make(*receivers: Any, **options: Any) -> World:
        worlds.append(World(tmp_path, *receivers, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()
