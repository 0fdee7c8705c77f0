"""What the health service can be told."""

from __future__ import annotations

from pydantic import Field

from lepton_ai.mesh.settings import ServiceSettings


class HealthSettings(ServiceSettings):
    """Environment variables LEPTON_*; the shared ones stand in ServiceSettings."""

    check_interval_s: float = Field(default=2.0, gt=0, le=60)
    """How often every replica is asked for its health."""
    check_timeout_s: float = Field(default=1.0, gt=0, le=10)
    probe_interval_s: float = Field(default=5.0, gt=0, le=600)
    """How often a golden sample of every deployed model is predicted through the real path."""
    probe_timeout_s: float = Field(default=5.0, gt=0, le=60)
    max_golden_bytes: int = Field(default=32 << 20, ge=1024)
    """Golden samples larger than this in all are not probed; the model says so."""
