"""One platform of one replica for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.replica import Replica
from tests.unit.inference.lifecycle.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def replica(world: World) -> AsyncIterator[Replica]:
    async with world.replica() as replica:
        yield replica
