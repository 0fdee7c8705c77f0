"""Settings of the health service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from lepton_ai.disk import LOW_BYTES
from lepton_ai.mesh.settings import ServiceSettings


class HealthSettings(ServiceSettings):
    """Environment variables LEPTON_*; the shared ones are in ServiceSettings."""

    check_interval_s: float = Field(default=2.0, gt=0, le=60)
    """How often every replica is asked for its health."""
    check_timeout_s: float = Field(default=1.0, gt=0, le=10)
    probe_interval_s: float = Field(default=5.0, gt=0, le=600)
    """How often a golden sample of every deployed model is predicted through the real path."""
    probe_timeout_s: float = Field(default=5.0, gt=0, le=60)
    max_golden_bytes: int = Field(default=32 << 20, ge=1024)
    """A golden sample with a file larger than this is not probed; the model's status says so."""
    expected_replicas: Mapping[str, int] = Field(default_factory=dict)
    """Service → how many replicas should be registered, as JSON; fewer is a problem. By default one of each."""
    disk_directory: Path | None = None
    """A directory on the disk that the platform writes to; the status reports when that disk is nearly full."""
    disk_low_bytes: int = Field(default=LOW_BYTES, ge=0)
    """Free bytes below which the disk counts as nearly full."""
    supervisor_socket: Path | None = None
    """Control socket of the local stack's supervisor; the status reports when nobody listens there."""

    @field_validator("workers")
    @classmethod
    def _one_process(cls, workers: int) -> int:
        if workers > 1:
            raise ValueError("must be 1: each would probe every model, and callers would hear what only some have seen")
        return workers
