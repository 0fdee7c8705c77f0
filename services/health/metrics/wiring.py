"""Puts the parts of measuring together."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.mesh.metrics import Metrics
from services.health.metrics.scraping.measuring import OwnPage, ScrapeOptions
from services.health.metrics.scraping.scraper import Scraper
from services.health.metrics.scraping.targets import HOST, Target, of_etcd, of_settings
from services.health.metrics.storage.store import Bounds, MetricStore
from services.health.settings import HealthSettings


@dataclass(frozen=True)
class Measurements:
    """Who measures, and where it is kept."""

    store: MetricStore
    scraper: Scraper

    @classmethod
    async def start(
        cls, settings: HealthSettings, state: StateStore, metrics: Metrics, address: Callable[[], str]
    ) -> Measurements:
        """Begin. `address` is that of this process, once it has one.

        Raises FailedPrecondition when the folder of measurements cannot be used.
        """
        bounds = Bounds(
            hours=settings.metrics_hours,
            weeks=settings.metrics_weeks,
            max_bytes=settings.max_metrics_bytes,
            max_series=settings.max_series,
        )
        options = ScrapeOptions(
            interval_s=settings.scrape_interval_s,
            timeout_s=settings.scrape_timeout_s,
            max_page_bytes=settings.max_page_bytes,
            max_target_series=settings.max_target_series,
        )
        store = MetricStore(settings.data_dir / "metrics", bounds)
        await store.start()
        fixed = {of_etcd(settings.etcd_address), Target(HOST, socket.gethostname(), HOST)}
        own = OwnPage(address, metrics.page)
        scraper = Scraper(state, store, fixed | of_settings(settings.scrape_targets), options, own=own)
        await scraper.start()
        _StoreCollector(metrics.registry, store)
        return cls(store, scraper)

    async def close(self) -> None:
        """Measure no more, and write out what waits."""
        await self.scraper.close()
        await self.store.close()


class _StoreCollector(Collector):
    """What the store says of itself."""

    def __init__(self, registry: CollectorRegistry, store: MetricStore) -> None:
        self._store = store
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Few numbers, read when they are asked for."""
        series, size = self._store.series_count, self._store.size_bytes
        yield GaugeMetricFamily("lepton_metrics_series", "Series that are being measured.", value=series)
        yield GaugeMetricFamily("lepton_metrics_disk_bytes", "Disk that measurements take.", value=size)
        missed = CounterMetricFamily(
            "lepton_metrics_missed_samples", "Measurements that were not kept.", labels=("reason",)
        )
        for reason, count in dict(self._store.missed).items():
            missed.add_metric([reason], count)
        yield missed
