"""The series of a platform under a day's load, simulated: two models, two replicas, and faults on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.health.metrics.series import NAME, Series
from services.inference.statistics import BUCKETS_S
from tests.promql.series import MemoryReader

Floats = NDArray[np.float64]
STEP_S = 10.0
BEGIN_S = 1_790_000_000.0
MODELS = {"resnet": (20.0, 0.042), "spam": (5.0, 0.009)}
"""Name → requests a second in the mean, seconds in the median."""
REPLICAS = ("10.0.0.1:7000", "10.0.0.2:7000")


@dataclass(frozen=True)
class Fault:
    """What goes wrong from `after_s` on, growing over `grows_s`."""

    after_s: float
    slower: float = 1.0
    """Factor on the times of resnet."""
    errors: float = 0.0
    """Share of resnet's requests."""
    traffic: float = 1.0
    leak_bytes_s: float = 0.0
    """Memory that the first replica keeps each second."""
    busier: float = 1.0
    """Factor on the CPU of the first replica for as many requests."""
    grows_s: float = 0.0

    def strength(self, times_s: Floats) -> Floats:
        """0 before, 1 when it is fully there."""
        since = times_s - times_s[0] - self.after_s
        grown: Floats = np.clip(since / self.grows_s, 0.0, 1.0) if self.grows_s else (since >= 0.0).astype(float)
        return grown


NO_FAULT = Fault(np.inf)


def simulated(hours: float, *, seed: int = 1, fault: Fault = NO_FAULT, swing: float = 0.5) -> MemoryReader:
    """Raw counters and gauges every ten seconds. `swing`: how far the load of the day goes up and down."""
    chance = np.random.default_rng(seed)
    times = BEGIN_S + np.arange(0.0, hours * 3600.0 + 1.0, STEP_S)
    load = 1.0 + swing * np.sin(2 * np.pi * (times - BEGIN_S) / 86400.0)
    load *= np.exp(_wandering(chance, len(times), 0.05))
    found, calls = list[Series](), np.zeros(len(times))
    for model, (rate, median_s) in MODELS.items():
        strength = fault.strength(times) if model == "resnet" else np.zeros(len(times))
        requests = chance.poisson(rate * load * (1.0 + (fault.traffic - 1.0) * strength) * STEP_S)
        failed = chance.binomial(requests, 0.0005 + fault.errors * strength)
        busy_s = median_s * (1.0 + 0.1 * (load - 1.0)) * np.exp(_wandering(chance, len(times), 0.03))
        busy_s *= 1.0 + (fault.slower - 1.0) * strength
        found += _requests(model, times, requests, failed, busy_s, chance)
        calls += requests
    for index, replica in enumerate(REPLICAS):
        found += _process(replica, times, calls / 2, fault if index == 0 else NO_FAULT, chance)
    return MemoryReader(found)


def _requests(
    model: str,
    times: Floats,
    requests: NDArray[np.int64],
    failed: NDArray[np.int64],
    busy_s: Floats,
    chance: np.random.Generator,
) -> Iterator[Series]:
    labels = {"model": model, "version": "5", "service": "inference", "instance": REPLICAS[0]}
    for code, count in (("OK", requests - failed), ("INTERNAL", failed)):
        yield _series("lepton_requests_total", times, np.cumsum(count), **labels, code=code)
    bounds = np.array(BUCKETS_S)
    shares = _normal_cdf((np.log(bounds)[None, :] - np.log(busy_s)[:, None]) / 0.4)
    counts = np.maximum.accumulate(chance.binomial((requests - failed)[:, None], shares), axis=1)
    for index, bound in enumerate(bounds):
        cumulated = np.cumsum(counts[:, index])
        yield _series("lepton_request_seconds_bucket", times, cumulated, **labels, le=f"{bound:g}")
    yield _series("lepton_request_seconds_bucket", times, np.cumsum(requests - failed), **labels, le="+Inf")


def _process(
    instance: str, times: Floats, calls: Floats, fault: Fault, chance: np.random.Generator
) -> Iterator[Series]:
    labels = {"service": "inference", "instance": instance}
    strength = fault.strength(times) if np.isfinite(fault.after_s) else np.zeros(len(times))
    seconds = calls * 0.03 * np.exp(_wandering(chance, len(times), 0.03))
    cpu = calls * 0.004 * np.exp(_wandering(chance, len(times), 0.05)) * (1.0 + (fault.busier - 1.0) * strength)
    memory = 6e8 + 2e7 * _wandering(chance, len(times), 1.0) + fault.leak_bytes_s * np.cumsum(strength) * STEP_S
    rpc = {**labels, "method": "Predict", "code": "OK"}
    yield _series("lepton_rpc_server_seconds_count", times, np.cumsum(calls), **rpc)
    yield _series("lepton_rpc_server_seconds_sum", times, np.cumsum(seconds), **rpc)
    yield _series("lepton_rpc_server_in_flight", times, chance.poisson(seconds / STEP_S + 2.0), **labels)
    yield _series("process_cpu_seconds_total", times, np.cumsum(cpu), **labels)
    yield _series("process_resident_memory_bytes", times, memory, **labels)


def _series(name: str, times: Floats, values: Floats | NDArray[np.int64], **labels: str) -> Series:
    return Series({NAME: name, **labels}, times, np.asarray(values, float))


def _wandering(chance: np.random.Generator, count: int, deviation: float) -> Floats:
    """Noise whose neighbours are alike (correlation 0.8), as load and latencies are."""
    noise = chance.normal(0.0, deviation * np.sqrt(1.0 - 0.8**2), count)
    for index in range(1, count):
        noise[index] += 0.8 * noise[index - 1]
    return noise


def _normal_cdf(z: Floats) -> Floats:
    """Within 0.0002 (Page, Applied Statistics 1977)."""
    share: Floats = 1.0 / (1.0 + np.exp(-np.sqrt(8 / np.pi) * (z + 0.044715 * z**3)))
    return share
