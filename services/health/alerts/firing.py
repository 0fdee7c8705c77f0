"""What a judge finds wrong at one moment; alerts are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

ALERT_NAME = "alertname"
SEVERITY = "severity"
"""Label with "page" (somebody is to get up), "ticket" (on a working day) or "info"."""


@dataclass(frozen=True)
class Firing:
    """One thing that is wrong now. `labels` are its identity: the same labels again are the same alert."""

    labels: Mapping[str, str]
    """`alertname`, `severity`, and what it is about: `model`, `version`, `service`, `instance`…"""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """`summary` (one sentence), `description`, `cause`, `runbook`, `query` (PromQL of the chart), `trace_id`, `share`
    (of users, 0…1)."""
    value: float = 0.0
    """The number that was judged."""
    pending_s: float = 0.0
    """How long it must go on before it is an alert (`for` of a Prometheus rule)."""


class Judge(Protocol):
    """Something that looks at the platform again and again and says what is wrong."""

    name: str
    """Unique; alerts of a judge end when it no longer finds them."""

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All that is wrong at `now_s`. When it raises, its alerts stay as they are, and that it fails is an alert."""
