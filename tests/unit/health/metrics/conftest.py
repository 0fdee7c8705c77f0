"""A store of measurements in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.health.metrics.storage.store import Bounds, MetricStore
from tests.unit.health.metrics.stores import Make


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes stores on the same folder."""
    made: list[MetricStore] = []

    async def make(**bounds: float) -> MetricStore:
        store = MetricStore(tmp_path / "metrics", Bounds(**bounds))  # type: ignore[arg-type]
        await store.start()
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()
