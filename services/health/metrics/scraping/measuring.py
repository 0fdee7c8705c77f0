"""Takes the measurements of one target: fetches its page, reads it, keeps a row, and notes how that went."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lepton_ai.errors import DeadlineExceeded, LeptonError, Unavailable
from services.health.metrics.scraping.fetch import fetch_page
from services.health.metrics.scraping.host import host_page
from services.health.metrics.scraping.page import GONE, Family, PageReader, Reading
from services.health.metrics.scraping.targets import HOST, OWN, Target
from services.health.metrics.series import NAME
from services.health.metrics.storage.columns import Columns
from services.health.metrics.storage.store import TOO_MANY, MetricStore

UP, DURATION, SAMPLES = "up", "scrape_duration_seconds", "scrape_samples_scraped"
FAMILIES: Mapping[str, Family] = {
    UP: Family("gauge", "1 when the target's page was read, else 0."),
    DURATION: Family("gauge", "How long that took."),
    SAMPLES: Family("gauge", "How many samples the page had."),
}
_OURS = ("service", "instance")
_RENAMED = "exported_"
_MANY_GONE = 100


@dataclass(frozen=True)
class ScrapeOptions:
    """How targets are measured."""

    interval_s: float = 5.0
    timeout_s: float = 2.0
    max_page_bytes: int = 8 << 20
    max_target_series: int = 10_000


@dataclass(frozen=True)
class OwnPage:
    """The page of this process, read without a connection: one that is busy would be too late for itself."""

    address: Callable[[], str]
    """Of its gRPC endpoint; empty while it has none."""
    read: Callable[[], bytes]
    """Called from another thread."""


@dataclass(frozen=True)
class Look:
    """How the last look at a target went."""

    at_s: float = 0.0
    """Seconds since 1970; 0: not yet."""
    duration_s: float = 0.0
    samples: int = 0
    error: str = ""

    @property
    def up(self) -> bool:
        return self.at_s > 0 and not self.error


class Measuring:
    """Looks at one target, again and again."""

    def __init__(
        self,
        target: Target,
        store: MetricStore,
        options: ScrapeOptions,
        now: Callable[[], float] = time.time,
        own: OwnPage | None = None,
    ) -> None:
        self.target = target
        self._own = own
        self.last = Look()
        self._store = store
        self._options = options
        self._now = now
        self._columns = self._open(store.open({"service": target.service, "instance": target.instance}))
        self._reader = PageReader(self._admit)
        self._reading_host: asyncio.Task[bytes] | None = None

    @property
    def families(self) -> Mapping[str, Family]:
        """What the target's pages say of their metrics."""
        return self._reader.families

    async def look(self) -> None:
        """Measure once. Never raises LeptonError: what went wrong is in `last`."""
        at_s, begun_s = self._now(), time.monotonic()
        reading, error = Reading([], 0, 0, {}), ""
        try:
            reading = await self._read()
        except LeptonError as failure:
            error = failure.message
        duration_s = time.monotonic() - begun_s
        self.last = Look(at_s, duration_s, reading.samples, error)
        self._keep(reading)

    def end(self) -> None:
        """It is no longer a target: its series end."""
        self._store.release(self._columns, self._now())
        if self._reading_host is not None:
            self._reading_host.cancel()

    async def _read(self) -> Reading:
        if self.target.service == HOST:
            return self._reader.read(await self._host_page())
        if self._own is not None and (self.target.service, self.target.instance) == (OWN, self._own.address()):
            return self._reader.read(await asyncio.to_thread(self._own.read))
        page = await fetch_page(
            self.target.address, timeout_s=self._options.timeout_s, max_bytes=self._options.max_page_bytes
        )
        return self._reader.read(page)

    async def _host_page(self) -> bytes:
        if self._reading_host is None or self._reading_host.done():  # one thread at most, where a disk hangs
            self._reading_host = asyncio.create_task(asyncio.to_thread(host_page))
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await asyncio.shield(self._reading_host)
        except TimeoutError:
            raise DeadlineExceeded("This machine did not answer in time.", fix="Look for a disk that hangs.") from None
        except (OSError, RuntimeError) as error:  # what psutil raises where it may not look
            raise Unavailable("This machine does not tell how it is.", fix="Let health read /proc and /sys.") from error

    def _keep(self, reading: Reading) -> None:
        values = reading.values or [GONE] * len(self._columns)
        values[:3] = [float(self.last.up), self.last.duration_s, float(reading.samples)]
        self._store.missed[TOO_MANY] += reading.refused
        self._store.append(self._columns, self.last.at_s, np.array(values))
        for place, exemplar in reading.exemplars.items():
            self._store.note_exemplar(self._columns, place, exemplar)
        gone = values.count(GONE)
        if self.last.up and gone > max(_MANY_GONE, len(values) / 2):
            self._columns = self._open(self._store.replace(self._columns))
            self._reader = PageReader(self._admit, self._reader.families)

    def _open(self, columns: Columns) -> Columns:
        for name in FAMILIES:
            self._store.admit(columns, {NAME: name}, always=True)
        return columns

    def _admit(self, labels: Mapping[str, str], is_counter: bool) -> int:
        if len(self._columns) - len(FAMILIES) >= self._options.max_target_series:
            return -1
        if any(label in labels for label in _OURS) or labels[NAME] in FAMILIES:
            labels = {_renamed(label): value for label, value in labels.items()}
            labels[NAME] = _RENAMED + labels[NAME] if labels[NAME] in FAMILIES else labels[NAME]
        return self._store.admit(self._columns, labels, is_counter=is_counter)


def _renamed(label: str) -> str:
    return _RENAMED + label if label in _OURS else label
