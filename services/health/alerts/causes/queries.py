"""What is asked of the measurements to explain alerts. Pure data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.health.promql.rules.templates import humanize1024, humanize_percentage
from services.health.promql.values import Labels

FAILURES = 'sum by (model, version, code) (increase(lepton_requests_total{code!~"OK|CANCELLED"}[5m])) >= 0.5'
SILENT = "up == 0"


@dataclass(frozen=True)
class Gauge:
    """A query whose results are worth telling, and the sentence that tells one."""

    query: str
    write: Callable[[Labels, float], str]
    strength: float = 0.8
    about: str = ""


def failures_of(model: str) -> str:
    """The chart of the failed calls of a model."""
    return f'sum by (code) (rate(lepton_requests_total{{model="{model}", code!~"OK|CANCELLED"}}[1m]))'


PRESSURES: tuple[Gauge, ...] = (
    Gauge(
        '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m])) > 0.9',
        lambda labels, value: f"The CPUs of {labels.get('instance')} are busy: {humanize_percentage(value)}.",
    ),
    Gauge(
        "min by (instance) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) < 0.1",
        lambda labels, value: f"Only {humanize_percentage(value)} of the memory of {labels.get('instance')} is left.",
        0.95,
    ),
    Gauge(
        "node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.05",
        lambda labels, value: (
            f"Only {humanize_percentage(value)} of {labels.get('mountpoint')} is free at {labels.get('instance')}."
        ),
        0.9,
    ),
    Gauge(
        "max by (instance) (avg_over_time(lepton_queue_fullness[1m])) > 0.8",
        lambda labels, value: (
            f"Inference at {labels.get('instance')} has room for little more: {humanize_percentage(value)} is taken."
        ),
        1.0,
    ),
    Gauge(
        "max by (instance) (nv_gpu_utilization) > 0.95",
        lambda labels, value: f"The GPU of {labels.get('instance')} is busy: {humanize_percentage(value)}.",
    ),
    Gauge(
        "max by (instance) (nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes) > 0.95",
        lambda labels, value: (
            f"The memory of the GPU of {labels.get('instance')} is full: {humanize_percentage(value)}."
        ),
        0.9,
    ),
)
HOGS: tuple[Gauge, ...] = (
    Gauge(
        "topk(1, max by (service, instance) (process_resident_memory_bytes))",
        lambda labels, value: (
            f"Of the processes that are measured, {labels.get('service')} at {labels.get('instance')} takes "
            f"most memory: {humanize1024(value)}B."
        ),
        1.0,
        "memory",
    ),
    Gauge(
        "topk(1, sum by (service, instance) (rate(process_cpu_seconds_total[1m])))",
        lambda labels, value: (
            f"Of the processes that are measured, {labels.get('service')} at {labels.get('instance')} takes "
            f"most CPU: {value:.2f} cores."
        ),
        1.0,
        "CPU",
    ),
)
