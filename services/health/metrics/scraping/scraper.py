"""Finds the targets and has each of them measured, every few seconds and not all at once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from lepton_ai.mesh.discovery.records import Records, decode_endpoint
from lepton_ai.mesh.discovery.state import ENDPOINTS, StateStore, Watch
from lepton_ai.mesh.loops import run_loop
from services.health.metrics.scraping.measuring import FAMILIES, Measuring, OwnPage, ScrapeOptions
from services.health.metrics.scraping.page import Family
from services.health.metrics.scraping.targets import Target, of_endpoints
from services.health.metrics.storage.store import MetricStore


class Scraper:
    """Runs from `start()` to `close()`."""

    def __init__(
        self,
        state: StateStore,
        store: MetricStore,
        fixed: Iterable[Target],
        options: ScrapeOptions,
        now: Callable[[], float] = time.time,
        own: OwnPage | None = None,
    ) -> None:
        """`fixed` are targets besides those that are registered."""
        self._own = own
        self._state = state
        self._store = store
        self._fixed = frozenset(fixed)
        self._options = options
        self._now = now
        self._endpoints = Records(decode_endpoint)
        self._measured: dict[Target, tuple[Measuring, asyncio.Task[None]]] = {}
        self._watch: Watch | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to measure."""
        self._watch = await self._state.watch(ENDPOINTS)
        self._following = run_loop(partial(self._follow, self._watch), name="follow the targets of measurements")

    async def close(self) -> None:
        """Measure no more."""
        if self._watch is None or self._following is None:
            return
        self._following.cancel()
        tasks = [task for _, task in self._measured.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(self._following, *tasks, return_exceptions=True)
        await self._watch.close()

    @property
    def targets(self) -> list[Measuring]:
        """All, sorted by service and instance."""
        found = (measuring for measuring, _ in self._measured.values())
        return sorted(found, key=lambda each: (each.target.service, each.target.instance))

    def families(self) -> Mapping[str, Family]:
        """Name → what pages say of a metric."""
        return {**FAMILIES, **{name: family for each in self.targets for name, family in each.families.items()}}

    async def _follow(self, watch: Watch) -> None:
        async for entries in watch.changes():
            wanted = of_endpoints(self._endpoints.read(entries).values()) | self._fixed
            for gone in self._measured.keys() - wanted:
                measuring, task = self._measured.pop(gone)
                task.cancel()
                await asyncio.wait([task])
                measuring.end()
            for new in wanted - self._measured.keys():
                measuring = Measuring(new, self._store, self._options, self._now, self._own)
                self._measured[new] = measuring, run_loop(partial(self._measure, measuring), name="measure a target")

    async def _measure(self, measuring: Measuring) -> None:
        interval_s = self._options.interval_s
        await measuring.look()
        # From here on at a moment of its own in each interval, so that not all come at once.
        next_s = time.monotonic() + interval_s * _share(measuring.target)
        while True:
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            await measuring.look()
            next_s += interval_s
            if next_s < time.monotonic():  # the machine slept, or looks take too long
                next_s = time.monotonic() + interval_s


def _share(target: Target) -> float:
    """A number in 0…1 that is the target's own."""
    digest = hashlib.blake2b(f"{target.service} {target.address}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32
