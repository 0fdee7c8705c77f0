"""What was known when an alert began to fire, as far as it may explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.health.alerts.memory.records import Alert
from services.health.events.event import Event
from services.health.promql.values import Sample

ERRORS_WITHIN_S = 300.0
"""Failed calls are counted over so long."""


@dataclass(frozen=True)
class LoggedKind:
    """Log records of one template that came lately."""

    number: int
    service: str
    is_error: bool
    text: str
    first_s: float
    last_s: float
    count: int
    """Records of the last minutes."""


@dataclass(frozen=True)
class Pressure:
    """A resource of which little is left."""

    text: str
    query: str
    strength: float
    """How sure it is that this hurts, 0 to 1."""
    about: str = ""
    """"memory" or "CPU", where it says who takes most of that."""


@dataclass(frozen=True)
class Evidence:
    """Everything at one moment, for whatever alerts began to fire then."""

    now_s: float
    alerts: Sequence[Alert] = ()
    """Those that fire, and those that were over a short while ago."""
    changes: Sequence[Event] = ()
    """The newest first; alerts are not among them."""
    logs: Sequence[LoggedKind] = ()
    failures: Sequence[Sample] = ()
    """Failed calls by model, version and code within ERRORS_WITHIN_S."""
    silent: Sequence[Mapping[str, str]] = ()
    """Processes (service, instance) that do not answer when they are measured."""
    pressures: Sequence[Pressure] = ()
    hogs: Sequence[Pressure] = ()
    """Who takes most of the memory and of the CPUs."""
