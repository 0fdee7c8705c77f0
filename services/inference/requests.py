"""Requests by version for Prometheus: how many, with which outcome, and how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from lepton_ai.mesh.metrics import TRACE_ID
from services.inference.routing.refusals import Refusals
from services.inference.routing.routes import Routes
from services.inference.statistics import BUCKETS_S, VersionStatistics

_COUNTED_FROM_ZERO = ("UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""Failures that promises are about: a counter that appears with its first failure would hide that one from rates."""
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")


class RequestCollector(Collector):
    """Reads what versions count of themselves. Probes of the platform are not among it."""

    def __init__(self, registry: CollectorRegistry, routes: Routes, refusals: Refusals) -> None:
        self._routes = routes
        self._refusals = refusals
        self._known: Mapping[tuple[str, int, str], VersionStatistics] = {}
        """What versions counted that are deployed; of those that do not serve now, when they did last."""
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Of every version that is deployed, and of variants beside it. While a version does not serve, its counters
        stand, but for the calls that it should have answered: one that went back to nothing would seem to jump when it
        serves again."""
        requests = CounterMetricFamily("lepton_requests", "Requests by version and gRPC code.")
        seconds = HistogramMetricFamily("lepton_request_seconds", "Time of answered requests.")
        known = {}
        for model in self._routes.models():
            loaded = {(each.version, each.variant): each.statistics for each in model.loaded}
            for key in sorted({*loaded, *((version, "") for version in model.waiting)}):
                version, variant = key
                statistics = loaded.get(key) or self._known.get((model.name, *key)) or VersionStatistics()
                known[model.name, *key] = statistics
                labels = _labels(model.name, version, variant)
                refused = 0 if variant else self._refusals.of(model.name, version)
                _add_counts(requests, labels, statistics, refused)
                _add_times(seconds, labels, statistics)
        self._known = known
        return (requests, seconds)


def _labels(model: str, version: int, variant: str) -> dict[str, str]:
    """Sums by model and version hold the variants too, which alone have a label of their own."""
    labels = {"model": model, "version": str(version)}
    return {**labels, "variant": variant} if variant else labels


def _add_counts(
    family: CounterMetricFamily, labels: dict[str, str], statistics: VersionStatistics, refused: int
) -> None:
    counts = Counter({**dict.fromkeys(_COUNTED_FROM_ZERO, 0), **statistics.errors})
    counts["UNAVAILABLE"] += refused
    for code, count in (("OK", statistics.success.count), *sorted(counts.items())):
        family.add_sample("lepton_requests_total", {**labels, "code": code}, count)


def _add_times(family: HistogramMetricFamily, labels: dict[str, str], statistics: VersionStatistics) -> None:
    counts = accumulate(statistics.by_seconds)
    for place, (bound, count) in enumerate(zip(_BOUNDS, counts, strict=True)):
        found = statistics.exemplars.get(place)
        exemplar = None if found is None else Exemplar({TRACE_ID: found.trace_id}, found.seconds, found.at_s)
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, float(count), exemplar=exemplar)
    family.add_sample(f"{family.name}_count", labels, float(sum(statistics.by_seconds)))
    family.add_sample(f"{family.name}_sum", labels, statistics.success.ns / 1e9)
