"""What the data plane counts for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Gauge, Histogram

from services.inference.version import LoadedVersion

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measurements:
    """Batches by size and duration, and how much waits."""

    def __init__(self, registry: CollectorRegistry, queued_rows: Callable[[], int]) -> None:
        labels = ("model", "version")
        self._rows = Histogram("lepton_batch_rows", "Rows in a batch.", labels, buckets=_ROWS, registry=registry)
        self._seconds = Histogram(
            "lepton_batch_seconds", "Triton's time for a batch.", labels, buckets=_SECONDS, registry=registry
        )
        self._of_version: WeakKeyDictionary[LoadedVersion, tuple[Histogram, Histogram]] = WeakKeyDictionary()
        """Kept because finding a histogram by its labels takes longer than adding to it."""
        waiting = Gauge("lepton_queued_rows", "Rows that wait for a batch.", registry=registry)
        waiting.set_function(queued_rows)

    def batch_done(self, loaded: LoadedVersion, rows: int, seconds: float) -> None:
        """Note one batch."""
        known = self._of_version.get(loaded)
        if known is None:
            labels = loaded.model, loaded.version
            known = self._of_version[loaded] = self._rows.labels(*labels), self._seconds.labels(*labels)
        known[0].observe(rows)
        known[1].observe(seconds)
