"""What a replica says of its caches: to `lepton cache`, and to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lepton_ai.v1 import inference_pb2
from services.inference.cache.caches import AnyPartition, Caches

_LABELS = ("model", "version", "kind")


def write_status(caches: Caches, model: str = "") -> inference_pb2.GetCacheStatusResponse:
    """The caches of all models, or of one."""
    return inference_pb2.GetCacheStatusResponse(
        caches=[_write(partition) for partition in caches.partitions(model)],
        max_bytes=caches.max_bytes,
        shared=_shared_state(caches),
    )


def _write(partition: AnyPartition) -> inference_pb2.CacheStatus:
    counts = partition.counts
    return inference_pb2.CacheStatus(
        model_name=partition.owner.model,
        model_version=partition.owner.version,
        kind=partition.owner.kind,
        on=partition.on,
        reason=partition.reason,
        lookups=counts.lookups,
        local_hits=counts.local_hits,
        shared_hits=counts.shared_hits,
        joined=counts.joined,
        entries=partition.entries,
        bytes=partition.size_bytes,
        capacity_bytes=partition.capacity_bytes,
        saved_seconds=counts.saved_s,
        hit_ratio_at_double=partition.curve.hit_ratio(2 * partition.capacity_bytes),
    )


def _shared_state(caches: Caches) -> inference_pb2.SharedCacheState.ValueType:
    if caches.shared is None:
        return inference_pb2.SHARED_CACHE_STATE_NONE
    return inference_pb2.SHARED_CACHE_STATE_UP if caches.shared.is_up else inference_pb2.SHARED_CACHE_STATE_DOWN


class CacheCollector(Collector):
    """Reads the caches when Prometheus asks, so that counting costs nothing in between."""

    def __init__(self, registry: CollectorRegistry, partitions: Callable[[], Iterable[AnyPartition]]) -> None:
        self._partitions = partitions
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """One sample for each cache and metric."""
        partitions = list(self._partitions())
        for name, text, value in _COUNTERS:
            counter = CounterMetricFamily(name, text, labels=_LABELS)
            for partition in partitions:
                counter.add_metric(_labels(partition), value(partition))
            yield counter
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=_LABELS)
            for partition in partitions:
                gauge.add_metric(_labels(partition), value(partition))
            yield gauge


def _labels(partition: AnyPartition) -> tuple[str, str, str]:
    owner = partition.owner
    return owner.model, str(owner.version), owner.kind


_Row = tuple[str, str, Callable[[AnyPartition], float]]
_COUNTERS: tuple[_Row, ...] = (
    ("lepton_cache_lookups", "Rows looked up.", lambda each: each.counts.lookups),
    ("lepton_cache_local_hits", "Rows found in this process.", lambda each: each.counts.local_hits),
    ("lepton_cache_shared_hits", "Rows found in the cache of all replicas.", lambda each: each.counts.shared_hits),
    ("lepton_cache_joined", "Rows that another call was just computing.", lambda each: each.counts.joined),
    ("lepton_cache_saved_seconds", "Work that hits made unnecessary, estimated.", lambda each: each.counts.saved_s),
)
_GAUGES: tuple[_Row, ...] = (
    ("lepton_cache_bytes", "Memory taken.", lambda each: each.size_bytes),
    ("lepton_cache_capacity_bytes", "Memory that may be taken.", lambda each: each.capacity_bytes),
    ("lepton_cache_on", "1 while the cache is used.", lambda each: float(each.on)),
)
