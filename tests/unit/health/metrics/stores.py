"""Stores of measurements for tests, and what is put into them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from services.health.metrics.series import NAME, Matcher, Series
from services.health.metrics.storage.columns import Columns
from services.health.metrics.storage.store import MetricStore

START_S = 1.7e9 - 1.7e9 % 3600
"""The beginning of an hour."""
Make = Callable[..., Awaitable[MetricStore]]


def target(store: MetricStore, *names: str, instance: str = "h:1", counters: bool = False) -> Columns:
    columns = store.open({"service": "s", "instance": instance})
    for name in names:
        store.admit(columns, {NAME: name, "model": name.upper()}, is_counter=counters)
    return columns


def measure(store: MetricStore, columns: Columns, rows: int, *, start_s: float = START_S, step_s: float = 5.0) -> None:
    """Rows whose values count up, another number for each column."""
    for row in range(rows):
        store.append(columns, start_s + row * step_s, np.arange(len(columns)) * 1000.0 + row)


def named(name: str) -> list[Matcher]:
    return [Matcher(NAME, "=", name)]


async def one(store: MetricStore, name: str, start_s: float = 0, end_s: float = 1e12) -> Series:
    (found,) = await store.select(named(name), start_s, end_s)
    return found
