"""What the registry can be told, by environment variables that start with LEPTON_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lepton_ai.mesh.settings import ServiceSettings
from lepton_ai.package import PackageLimits
from services.registry.inspection.inspection import InspectionLimits
from services.registry.inspection.signature import TritonBackend

_GIB = 1 << 30


class RegistrySettings(ServiceSettings):
    """Settings of the registry, over those that every service has."""

    data_dir: Path = Path("registry-data")
    """Database and blobs; only one registry may use it."""
    max_files: int = Field(default=1000, ge=1, le=100_000)
    max_file_bytes: int = Field(default=4 * _GIB, ge=1)
    max_package_bytes: int = Field(default=8 * _GIB, ge=1)
    max_concurrent_pushes: int = Field(default=4, ge=1, le=100)
    """Uploads at once; more are told to come back."""
    max_concurrent_inspections: int = Field(default=2, ge=1, le=100)
    """Checks of uploaded models at once; more wait."""
    inspection_timeout_s: float = Field(default=60.0, gt=0, le=3600)
    inspection_memory_bytes: int = Field(default=8 * _GIB, ge=_GIB)
    """Address space of the process that looks into an uploaded model."""
    triton_backend: TritonBackend = "python"
    """How the inference replicas run models, as they are told: what they could not load is refused at push."""
    republish_interval_s: float = Field(default=5.0, gt=0, le=3600)
    """How often etcd is compared with the database: as soon as leases run out, so that all of a wiped etcd is back."""

    @property
    def package_limits(self) -> PackageLimits:
        """The largest package that is accepted."""
        return PackageLimits(self.max_files, self.max_file_bytes, self.max_package_bytes)

    @property
    def inspection_limits(self) -> InspectionLimits:
        """What the inspecting process may use."""
        return InspectionLimits(
            timeout_s=self.inspection_timeout_s,
            memory_bytes=self.inspection_memory_bytes,
            concurrent=self.max_concurrent_inspections,
        )
