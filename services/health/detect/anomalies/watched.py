"""Which numbers are watched, what change of each matters, and what an alert about it is called."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lepton_ai.v1 import metrics_pb2 as pb
from services.health.metrics.kpis import MACHINE, MODEL, PROCESS, SERVICE, SUBJECTS, Kpi, kpi_of

STEP_S = 10.0
"""Between two values of a number."""
_BY_PROCESS = "sum by (service, instance) (rate(lepton_rpc_server_seconds_{}[1m]))"
RATE_WINDOW_S = 60.0
"""What the rates of the table of KPIs look back on."""


@dataclass(frozen=True)
class Watched:
    """One number of everything in its scope. A change matters from `share` of what is usual, and `floor`, on."""

    scope: pb.KpiScope.ValueType
    name: str
    """Of the KPI."""
    alert: str
    severity: str
    share: float
    floor: float
    """In the unit of the KPI."""
    falls: bool = False
    """Whether less than usual is a finding, too. More always is."""
    is_log: bool = True
    """Whether changes are factors rather than differences."""
    noise: float = 0.03
    """Deviation that is taken for usual at least; of logarithms if `is_log`."""
    least_rate: float = 0.0
    """Requests a second below which the number says nothing (of models)."""
    least_events: int = 0
    """Requests in a minute that a change of a share must be of."""
    is_leak: bool = False
    """Whether slow growth is looked for."""
    creeps: bool = True
    """Whether a slow change is a finding; of what follows the day it is none."""
    has_season: bool = False
    """Whether it follows the hours of the day and the days of the week."""

    @property
    def kpi(self) -> Kpi:
        """Its definition. Raises StopIteration when the table of KPIs has none."""
        return kpi_of(self.scope, self.name)

    @property
    def subject(self) -> tuple[str, ...]:
        """Labels that say of what the number is."""
        return SUBJECTS[self.scope]

    def transformed(self, value: float) -> float:
        """The value on the scale on which deviations are measured."""
        return math.log(max(value, self.floor * 1e-3)) if self.is_log else value

    def restored(self, transformed: float) -> float:
        """The other way round."""
        return math.exp(transformed) if self.is_log else transformed

    def matters(self, value: float, usual: float, *, part: float = 1.0) -> bool:
        """Whether the change from what is usual is large enough to tell anybody, or this part of such a change."""
        change = value - usual
        if change < 0.0 and not self.falls:
            return False
        # A fall to one third is as large as a rise to three times as much.
        reference = usual if change >= 0.0 else value
        return abs(change) >= part * max(self.floor, self.share * reference)


WATCHED = (
    Watched(MODEL, "rate", "TrafficUnusual", "info", share=1.5, floor=1.0, falls=True, creeps=False, has_season=True),
    Watched(MODEL, "error_ratio", "ErrorsUnusual", "ticket", 0.5, 0.03, is_log=False, noise=0.004, least_events=10),
    Watched(MODEL, "p95", "LatencyUnusual", "ticket", share=0.5, floor=0.005, least_rate=1.0, has_season=True),
    Watched(MODEL, "queue", "QueueUnusual", "ticket", share=1.0, floor=0.01, least_rate=1.0),
    Watched(SERVICE, "error_ratio", "ErrorsUnusual", "ticket", 0.5, 0.05, is_log=False, noise=0.01, least_events=10),
    Watched(SERVICE, "p99", "LatencyUnusual", "ticket", share=1.5, floor=0.05),
    Watched(PROCESS, "cpu", "CpuUnusual", "info", share=1.0, floor=0.5, creeps=False, has_season=True),
    Watched(PROCESS, "memory", "MemoryUnusual", "ticket", share=0.3, floor=float(64 << 20), is_leak=True),
    Watched(MACHINE, "memory", "MemoryUnusual", "ticket", 0.2, 0.1, is_log=False, noise=0.01),
    Watched(MACHINE, "disk", "DiskUnusual", "ticket", 0.1, 0.05, is_log=False, noise=0.005),
)
COMBINED: dict[str, str] = {
    "rate": _BY_PROCESS.format("count"),
    "mean time": f"{_BY_PROCESS.format('sum')} / ({_BY_PROCESS.format('count')} > 0)",
    "calls in flight": "max by (service, instance) (lepton_rpc_server_in_flight)",
    "cpu": kpi_of(PROCESS, "cpu").expression,
    "memory": kpi_of(PROCESS, "memory").expression,
}
"""The numbers of one process that go together, by what people call them."""
