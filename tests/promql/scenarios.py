"""Platforms that are well, break all at once, or rot slowly: their series, and which alerts must come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.health.metrics.series import NAME, STALE, Series
from services.health.promql.rules.file import read_rules

Shape = Callable[[float], float | None]
"""Seconds since the beginning → value; None: nothing was measured."""
INTERVAL_S = 4.003
"""Between samples; no sample lies on the edge of a window, where Prometheus 2 and 3 differ."""
BREAK_S = 300.0
_LONG_AGO = 1e6
"""What counters had reached that began long before: Prometheus 2 stretches new ones otherwise than 3 does."""
_MACHINE = {"service": "host", "instance": "box"}
_HEALTH = ({"service": "health", "instance": "h:1"}, {"service": "health", "instance": "h:2"})
_BUCKETS = ("0.05", "0.5", "1", "2.5", "+Inf")
_FSYNC = ("0.001", "0.1", "1", "+Inf")


@dataclass(frozen=True)
class Scenario:
    """A platform, how long it is looked at, and the alerts that fire at the end."""

    name: str
    series: Mapping[tuple[tuple[str, str], ...], Shape]
    length_s: float
    every_s: float
    fires: frozenset[str]

    def times_s(self) -> list[float]:
        """When the rules are evaluated."""
        return [self.every_s * k for k in range(1, int(self.length_s / self.every_s) + 1)]

    def samples(self) -> Iterator[tuple[dict[str, str], list[float | None]]]:
        """Labels and the values at each sample; the first sample, at 0, is left out."""
        count = int(self.length_s / INTERVAL_S) + 1
        for labels, shape in self.series.items():
            yield dict(labels), [None, *(shape(INTERVAL_S * k) for k in range(1, count))]

    def as_series(self) -> list[Series]:
        """For a reader; a series that ends has a mark."""
        return [_series(labels, values) for labels, values in self.samples()]


def _series(labels: dict[str, str], values: Sequence[float | None]) -> Series:
    times, found = [], []
    for k, value in enumerate(values):
        if value is not None:
            times.append(round(INTERVAL_S * k, 3))
            found.append(value)
        elif k and values[k - 1] is not None:
            times.append(round(INTERVAL_S * k, 3))
            found.append(float(STALE))
    return Series(labels, np.array(times), np.array(found))


def key(name: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({NAME: name, **labels}.items()))


def steady(value: float) -> Shape:
    return lambda _at: value


def growing(pace: float, start: float = 0.0) -> Shape:
    return lambda at: start + pace * at


def switched(before: Shape, after: Shape, at_s: float = BREAK_S) -> Shape:
    return lambda at: before(at) if at < at_s else after(at)


def bent(pace: float, after: float, start: float = 0.0) -> Shape:
    """A counter that grows otherwise from the break on."""
    return lambda at: start + pace * min(at, BREAK_S) + after * max(0.0, at - BREAK_S)


def nothing(_at: float) -> None:
    return None


def calm() -> dict[tuple[tuple[str, str], ...], Shape]:
    """Everything is as it should be."""
    inference = {"service": "inference", "instance": "a:1"}
    cat = {"model": "cat", "version": "1", **inference}
    etcd = {"service": "etcd", "instance": "etcd:2379"}
    found: dict[tuple[tuple[str, str], ...], Shape] = {
        key("lepton_requests_total", **cat, code="OK"): growing(20, _LONG_AGO),
        key("lepton_requests_total", **cat, code="INTERNAL"): growing(0.01, _LONG_AGO),
        key("lepton_requests_total", **cat, code="RESOURCE_EXHAUSTED"): growing(0, _LONG_AGO),
        key("lepton_requests_total", **cat, code="INVALID_ARGUMENT"): growing(9, _LONG_AGO),
        key("lepton_request_seconds_count", **cat): growing(20),
        key("lepton_queue_fullness", **inference): steady(0.3),
        key("lepton_preprocess_queue_seconds_sum", service="preprocess", instance="p:1"): growing(0.02),
        key("lepton_preprocess_queue_seconds_count", service="preprocess", instance="p:1"): growing(20),
        key("lepton_rpc_server_repeats_total", **inference, kind="retry"): growing(0.1),
        key("lepton_rpc_server_seconds_count", **inference, method="/a/B", code="OK"): growing(20, _LONG_AGO),
        key("lepton_batch_rows_sum", **cat): growing(80),
        key("lepton_batch_rows_count", **cat): growing(20),
        key("lepton_cache_local_hits_total", **cat, kind="answers"): growing(5),
        key("lepton_cache_shared_hits_total", **cat, kind="answers"): growing(1),
        key("lepton_cache_lookups_total", **cat, kind="answers"): growing(20),
        key("lepton_cache_on", **cat, kind="answers"): steady(1),
        key("node_memory_MemAvailable_bytes", **_MACHINE): steady(4e9),
        key("node_memory_MemTotal_bytes", **_MACHINE): steady(16e9),
        key("node_filesystem_avail_bytes", **_MACHINE, mountpoint="/"): growing(-1e4, 10e9),
        key("node_filesystem_size_bytes", **_MACHINE, mountpoint="/"): steady(100e9),
        key("node_cpu_seconds_total", **_MACHINE, cpu="0", mode="idle"): growing(0.6),
        key("etcd_server_has_leader", **etcd): steady(1),
        key("etcd_mvcc_db_total_size_in_bytes", **etcd): steady(1e7),
        key("etcd_server_quota_backend_bytes", **etcd): steady(2e9),
        key("lepton_predictions_not_remembered_total", **inference): steady(3),
        key("lepton_trace_spans_dropped_total", **inference): steady(10),
        key("lepton_trace_spans_total", service="traces", instance="t:1", outcome="rejected"): steady(0),
        key("lepton_log_records_not_reported_total", **inference): steady(0),
        key("lepton_tls_certificate_expiry_timestamp_seconds", **inference, use="server"): steady(90 * 86400),
        key("lepton_tls_certificate_expiry_timestamp_seconds", **inference, use="client_ca"): steady(90 * 86400),
        key("lepton_metrics_missed_samples_total", **_HEALTH[0], reason="disk"): steady(0),
    }
    for health in _HEALTH:
        found |= seen(health)
    for bound, pace in zip(_BUCKETS, (15, 19.7, 19.9, 20, 20), strict=True):
        found[key("lepton_request_seconds_bucket", **cat, le=bound)] = growing(pace)
    for name in ("etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_disk_backend_commit_duration_seconds_bucket"):
        for bound, pace in zip(_FSYNC, (3, 5, 5, 5), strict=True):
            found[key(name, **etcd, le=bound)] = growing(pace)
    for labels in (inference, *_HEALTH):
        found[key("up", **labels)] = steady(1)
        found[key("process_start_time_seconds", **labels)] = steady(-7200)
        found[key("process_resident_memory_bytes", **labels)] = growing(1e3, 2e8)
        found[key("process_open_fds", **labels)] = steady(100)
        found[key("process_max_fds", **labels)] = steady(1024)
        found[key("process_cpu_seconds_total", **labels)] = growing(0.2)
    return found


def seen(health: Mapping[str, str]) -> dict[tuple[tuple[str, str], ...], Shape]:
    """What one health process says of the platform."""
    cat = {"model": "cat", "version": "1", **health}
    found: dict[tuple[tuple[str, str], ...], Shape] = {
        key("lepton_observed_timestamp_seconds", **health): lambda at: at - 1,
        key("lepton_state_connected", **health): steady(1),
        key("lepton_triton_ready", **health, replica="a:1"): steady(1),
        key("lepton_triton_restarts_total", **health, replica="a:1"): steady(4),
        key("lepton_model_deployed", **cat): steady(1),
        key("lepton_model_serving_replicas", **cat): steady(2),
        key("lepton_probe_success", **cat): steady(1),
        key("lepton_probe_timestamp_seconds", **cat): lambda at: at - 2,
    }
    for service in ("inference", "preprocess", "registry"):
        found[key("lepton_replicas", **health, of_service=service, state="serving")] = steady(2)
        found[key("lepton_replicas", **health, of_service=service, state="failing")] = steady(0)
        found[key("lepton_replicas_expected", **health, of_service=service)] = steady(2)
    return found


def broken() -> dict[tuple[tuple[str, str], ...], Shape]:
    """At the break everything that can break at once does."""
    found = calm()
    for labels, shape in found.items():
        fault = _FAULTS.get(dict(labels)[NAME])
        if fault is not None:
            found[labels] = fault(dict(labels), shape)
    for health in _HEALTH:
        new = {**health, "model": "new", "version": "7"}
        found[key("lepton_model_deployed", **new)] = switched(nothing, steady(1))
        found[key("lepton_model_serving_replicas", **new)] = switched(nothing, steady(0))
    return found


Fault = Callable[[Mapping[str, str], Shape], Shape]


def becomes(value: float) -> Fault:
    return lambda _labels, shape: switched(shape, steady(value))


def _requests(labels: Mapping[str, str], _shape: Shape) -> Shape:
    paces = {"OK": (20, 10), "INTERNAL": (0.01, 3), "RESOURCE_EXHAUSTED": (0, 2), "INVALID_ARGUMENT": (9, 9)}
    return bent(*paces[labels["code"]], _LONG_AGO)


def _slow(labels: Mapping[str, str], _shape: Shape) -> Shape:
    fast = {"0.05": 15, "0.5": 19.7, "1": 19.9}.get(labels["le"], 20)
    return bent(fast, {"0.05": 1, "0.5": 2, "1": 3, "2.5": 19}.get(labels["le"], 20))


def _slow_disk(labels: Mapping[str, str], _shape: Shape) -> Shape:
    return bent(3 if labels["le"] == "0.001" else 5, {"0.001": 0, "0.1": 1, "1": 3}.get(labels["le"], 5))


def _replicas(labels: Mapping[str, str], shape: Shape) -> Shape:
    after = {
        ("inference", "serving"): 0,
        ("inference", "failing"): 2,
        ("preprocess", "serving"): 1,
        ("registry", "serving"): 0,
    }
    value = after.get((labels["of_service"], labels["state"]))
    return shape if value is None else switched(shape, steady(value))


def _starts(labels: Mapping[str, str], shape: Shape) -> Shape:
    if labels["service"] == "health":
        return switched(shape, lambda at: at + 600)  # the clock goes back
    return switched(shape, lambda at: BREAK_S + at // 60 * 60 - 60)  # started every minute


def _up(labels: Mapping[str, str], shape: Shape) -> Shape:
    return switched(shape, steady(0)) if labels["service"] == "inference" else shape


def _expiry(labels: Mapping[str, str], shape: Shape) -> Shape:
    return switched(shape, steady({"server": 86400.0, "client_ca": 5 * 86400.0}[labels["use"]]))


_FAULTS: Mapping[str, Fault] = {
    "lepton_requests_total": _requests,
    "lepton_request_seconds_bucket": _slow,
    "lepton_queue_fullness": becomes(0.97),
    "lepton_preprocess_queue_seconds_sum": lambda _labels, _shape: bent(0.02, 8),
    "lepton_rpc_server_repeats_total": lambda _labels, _shape: bent(0.1, 6),
    "lepton_observed_timestamp_seconds": becomes(BREAK_S),
    "lepton_state_connected": becomes(0),
    "lepton_triton_ready": becomes(0),
    "lepton_triton_restarts_total": lambda _labels, _shape: lambda at: 4 + max(0.0, at - BREAK_S) // 45,
    "lepton_replicas": _replicas,
    "lepton_probe_success": becomes(0),
    "lepton_probe_timestamp_seconds": becomes(BREAK_S),
    "up": _up,
    "process_start_time_seconds": _starts,
    "process_open_fds": becomes(1000),
    "node_memory_MemAvailable_bytes": becomes(3e8),
    "node_filesystem_avail_bytes": becomes(1e9),
    "node_cpu_seconds_total": lambda _labels, _shape: bent(0.6, 0.01),
    "lepton_tls_certificate_expiry_timestamp_seconds": _expiry,
    "etcd_server_has_leader": becomes(0),
    "etcd_mvcc_db_total_size_in_bytes": becomes(1.9e9),
    "etcd_disk_wal_fsync_duration_seconds_bucket": _slow_disk,
    "lepton_predictions_not_remembered_total": lambda _labels, _shape: bent(0, 1),
    "lepton_trace_spans_dropped_total": lambda _labels, _shape: bent(0, 100, 10),
    "lepton_trace_spans_total": lambda _labels, _shape: bent(0, 0.5),
    "lepton_log_records_not_reported_total": lambda _labels, _shape: bent(0, 2),
    "lepton_metrics_missed_samples_total": lambda _labels, _shape: bent(0, 50),
}
SLOW = frozenset({"CacheUseless", "DiskFillsUp", "ProcessMemoryGrows"})
"""Alerts that need an hour to come."""


def rotting() -> dict[tuple[tuple[str, str], ...], Shape]:
    """What goes wrong over an hour and more."""
    found = calm()
    for labels in list(found):
        about = dict(labels)
        if about[NAME] in ("lepton_cache_local_hits_total", "lepton_cache_shared_hits_total"):
            found[labels] = growing(0.01)
        if about[NAME] == "node_filesystem_avail_bytes":
            found[labels] = growing(-8e5, 15e9)
        if (about[NAME], about.get("service")) == ("process_resident_memory_bytes", "inference"):
            found[labels] = growing(1e6, 2e8)
        if (about[NAME], about.get("service")) == ("process_start_time_seconds", "inference"):
            found[labels] = steady(-1000)
    return found


def healed() -> dict[tuple[tuple[str, str], ...], Shape]:
    """Broken for five minutes, and gauges well again: alerts of what is a state end."""
    found, good = broken(), calm()
    for labels in good:
        if dict(labels)[NAME] in ("up", "lepton_replicas", "lepton_triton_ready", "lepton_probe_success"):
            found[labels] = switched(found[labels], good[labels], 2 * BREAK_S)
    return found


ALERTS = frozenset(rule.alert for group in read_rules() for rule in group.rules if rule.alert)
_STATES = {"ReplicaDown", "ServiceDegraded", "ServiceDown", "InferenceDown", "TritonDown", "ModelDown", "ProcessDown"}
SCENARIOS = (
    Scenario("calm", calm(), 1200, 30, frozenset({"Watchdog"})),
    Scenario("broken", broken(), 1050, 15, ALERTS - {"CacheUseless", "ProcessMemoryGrows"}),
    Scenario("healed", healed(), 900, 15, ALERTS - SLOW - _STATES - {"CpuSaturated"}),
    Scenario("rotting", rotting(), 5400, 60, SLOW | {"Watchdog"}),
)
