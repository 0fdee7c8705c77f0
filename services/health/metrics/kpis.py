"""The numbers that matter, as data: each is a PromQL expression, so that Prometheus computes the same."""

from __future__ import annotations

from dataclasses import dataclass

from lepton_ai.v1 import metrics_pb2 as pb

MODEL, SERVICE = pb.KPI_SCOPE_MODEL, pb.KPI_SCOPE_SERVICE
PROCESS, MACHINE = pb.KPI_SCOPE_PROCESS, pb.KPI_SCOPE_MACHINE
SUBJECTS: dict[pb.KpiScope.ValueType, tuple[str, ...]] = {
    MODEL: ("model", "version"),
    SERVICE: ("service",),
    PROCESS: ("service", "instance"),
    MACHINE: ("instance",),
}
"""Scope → the labels that say of what a number is."""


@dataclass(frozen=True)
class Kpi:
    """One number of everything in its scope."""

    scope: pb.KpiScope.ValueType
    name: str
    title: str
    unit: str
    help: str
    expression: str
    kind: str = ""
    """Label that tells several numbers of one subject apart."""


def _quantile(share: str) -> str:
    return f"histogram_quantile({share}, sum by (model, version, le) (rate(lepton_request_seconds_bucket[1m])))"


def _mean(histogram: str) -> str:
    of = "sum by (model, version) (rate({}[1m]))"
    return f"{of.format(f'{histogram}_sum')} / {of.format(f'{histogram}_count')}"


_MODELS = (
    Kpi(
        MODEL,
        "rate",
        "rate",
        "1/s",
        "Requests a second, of all outcomes.",
        "sum by (model, version) (rate(lepton_requests_total[1m]))",
    ),
    Kpi(
        MODEL,
        "error_ratio",
        "errors",
        "ratio",
        "Share of the requests that failed. Callers who left are not among them.",
        '1 - sum by (model, version) (rate(lepton_requests_total{code=~"OK|CANCELLED"}[1m]))'
        " / sum by (model, version) (rate(lepton_requests_total[1m]))",
    ),
    Kpi(
        MODEL,
        "errors",
        "errors by kind",
        "1/s",
        "Failed requests a second, by gRPC code.",
        'sum by (model, version, code) (rate(lepton_requests_total{code!="OK"}[1m]))',
        kind="code",
    ),
    Kpi(MODEL, "p50", "p50", "s", "Half of the answers come within this time.", _quantile("0.5")),
    Kpi(MODEL, "p95", "p95", "s", "95 % of the answers come within this time.", _quantile("0.95")),
    Kpi(MODEL, "p99", "p99", "s", "99 % of the answers come within this time.", _quantile("0.99")),
    Kpi(
        MODEL,
        "queue",
        "queue",
        "s",
        "Mean wait for a batch to leave, of the row that came first.",
        _mean("lepton_batch_oldest_wait_seconds"),
    ),
    Kpi(MODEL, "batch", "batch", "rows", "Mean rows in a batch.", _mean("lepton_batch_rows")),
    Kpi(
        MODEL,
        "cache_hits",
        "cache",
        "ratio",
        "Share of the rows that were found in a cache.",
        "(sum by (model, version) (rate(lepton_cache_local_hits_total[5m]))"
        " + sum by (model, version) (rate(lepton_cache_shared_hits_total[5m])))"
        " / sum by (model, version) (rate(lepton_cache_lookups_total[5m]))",
    ),
    Kpi(
        MODEL,
        "probe",
        "probe",
        "",
        "1 when the last test prediction through the real path was right.",
        "min by (model, version) (lepton_probe_success)",
    ),
)
_SERVICES = (
    Kpi(
        SERVICE,
        "rate",
        "rate",
        "1/s",
        "Calls a second.",
        "sum by (service) (rate(lepton_rpc_server_seconds_count[1m]))",
    ),
    Kpi(
        SERVICE,
        "error_ratio",
        "errors",
        "ratio",
        "Share of the calls that failed. Callers who left are not among them.",
        '1 - sum by (service) (rate(lepton_rpc_server_seconds_count{code=~"OK|CANCELLED"}[1m]))'
        " / sum by (service) (rate(lepton_rpc_server_seconds_count[1m]))",
    ),
    Kpi(
        SERVICE,
        "p99",
        "p99",
        "s",
        "99 % of the calls are answered within this time.",
        "histogram_quantile(0.99, sum by (service, le) (rate(lepton_rpc_server_seconds_bucket[1m])))",
    ),
    Kpi(
        SERVICE,
        "saturation",
        "full",
        "ratio",
        "The part that is taken of what may be on its way at once, of the fullest replica.",
        "max by (service) (lepton_queue_fullness)",
    ),
    Kpi(
        SERVICE,
        "cpu",
        "cpu",
        "cores",
        "Cores that all its processes keep busy.",
        "sum by (service) (rate(process_cpu_seconds_total[1m]))",
    ),
    Kpi(SERVICE, "replicas", "up", "", "Replicas that answer.", 'sum by (service) (up{service!="host"})'),
    Kpi(
        SERVICE,
        "registered",
        "replicas",
        "",
        "Replicas that are registered.",
        'count by (service) (up{service!="host"})',
    ),
)
_PROCESSES = (
    Kpi(
        PROCESS, "up", "up", "", "1 when it tells its measurements.", 'max by (service, instance) (up{service!="host"})'
    ),
    Kpi(
        PROCESS,
        "cpu",
        "cpu",
        "cores",
        "Cores that it keeps busy.",
        "sum by (service, instance) (rate(process_cpu_seconds_total[1m]))",
    ),
    Kpi(
        PROCESS,
        "memory",
        "memory",
        "bytes",
        "Resident memory.",
        "max by (service, instance) (process_resident_memory_bytes)",
    ),
)
_MACHINES = (
    Kpi(
        MACHINE,
        "cpu",
        "cpu",
        "ratio",
        "Share of the time in which its cores are busy.",
        '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m]))',
    ),
    Kpi(
        MACHINE,
        "memory",
        "memory",
        "ratio",
        "Share of the memory that is taken.",
        "1 - max by (instance) (node_memory_MemAvailable_bytes) / max by (instance) (node_memory_MemTotal_bytes)",
    ),
    Kpi(
        MACHINE,
        "disk",
        "disk",
        "ratio",
        "Share of the fullest file system that is taken.",
        "1 - min by (instance) (node_filesystem_avail_bytes / node_filesystem_size_bytes)",
    ),
    Kpi(
        MACHINE,
        "gpu",
        "gpu",
        "ratio",
        "Use of the busiest GPU, as Triton tells it.",
        "max by (instance) (nv_gpu_utilization)",
    ),
    Kpi(
        MACHINE,
        "gpu_memory",
        "gpu mem",
        "ratio",
        "Share of the memory of the fullest GPU that is taken.",
        "max by (instance) (nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes)",
    ),
    Kpi(
        MACHINE,
        "gpu_power",
        "gpu power",
        "W",
        "Power that all of its GPUs draw.",
        "sum by (instance) (nv_gpu_power_usage)",
    ),
)
KPIS: tuple[Kpi, ...] = (*_MODELS, *_SERVICES, *_PROCESSES, *_MACHINES)


def kpi_of(scope: pb.KpiScope.ValueType, name: str) -> Kpi:
    """The definition of a number. Raises StopIteration when there is none."""
    return next(kpi for kpi in KPIS if (kpi.scope, kpi.name) == (scope, name))
