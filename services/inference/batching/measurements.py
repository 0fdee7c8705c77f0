"""What the data plane counts for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.inference.batching.flight import Departure, Flight
from services.inference.version import LoadedVersion

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class _OfVersion:
    rows: Histogram
    seconds: Histogram
    waits: Histogram
    departures: Mapping[Departure, Counter]


class Queues(Protocol):
    """What waits and works, over all versions."""

    @property
    def queued_rows(self) -> int: ...
    @property
    def fullness(self) -> float: ...


class Measurements:
    """Batches by size and duration, and how much waits."""

    def __init__(self, registry: CollectorRegistry, queues: Queues) -> None:
        labels = ("model", "version")
        self._rows = Histogram("lepton_batch_rows", "Rows in a batch.", labels, buckets=_ROWS, registry=registry)
        self._seconds = Histogram(
            "lepton_batch_seconds", "Triton's time for a batch.", labels, buckets=_SECONDS, registry=registry
        )
        self._waits = Histogram(
            "lepton_batch_oldest_wait_seconds",
            "How long the row that came first waited for a batch to leave.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self._departures = Counter(
            "lepton_batch_departures",
            "Batches by why they left: idle instance, full, deadline, retry.",
            (*labels, "reason"),
            registry=registry,
        )
        self._of_version: WeakKeyDictionary[LoadedVersion, _OfVersion] = WeakKeyDictionary()
        """Kept because finding a metric by its labels takes longer than adding to it."""
        waiting = Gauge("lepton_queued_rows", "Rows that wait for a batch.", registry=registry)
        waiting.set_function(lambda: queues.queued_rows)
        fullness = Gauge(
            "lepton_queue_fullness",
            "The part that is taken of what may be on its way at once, of the version with the least room.",
            registry=registry,
        )
        fullness.set_function(lambda: queues.fullness)

    def batch_done(self, loaded: LoadedVersion, flight: Flight, seconds: float) -> None:
        """Note one batch."""
        known = self._of_version.get(loaded)
        if known is None:
            known = self._of_version[loaded] = self._find(loaded)
        known.rows.observe(flight.rows)
        known.seconds.observe(seconds)
        known.waits.observe(flight.oldest_wait_s)
        known.departures[flight.departure].inc()

    def _find(self, loaded: LoadedVersion) -> _OfVersion:
        labels = loaded.model, loaded.version
        return _OfVersion(
            self._rows.labels(*labels),
            self._seconds.labels(*labels),
            self._waits.labels(*labels),
            {reason: self._departures.labels(*labels, reason.value) for reason in Departure},
        )
