"""Settings of the registry, read from environment variables that start with LEPTON_."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from lepton_ai.mesh.discovery.login import EtcdLogin
from lepton_ai.mesh.settings import ServiceSettings, secret
from lepton_ai.package import PackageLimits
from services.registry.inspection.inspection import InspectionLimits
from services.registry.inspection.signature import TritonBackend

_GIB = 1 << 30


class RegistrySettings(ServiceSettings):
    """Settings of the registry, beside those that every service has."""

    data_dir: Path = Path("registry-data")
    """Database and blobs; only one registry may use it."""
    token: SecretStr | None = None
    """The token that callers must show to change something."""
    token_file: Path | None = None
    """File with the token, in place of `token`."""
    etcd_root_password: SecretStr | None = None
    """Password of etcd's root, where etcd is Lepton's own: with it the registry makes an open etcd require logins."""
    etcd_root_password_file: Path | None = None
    """File with root's password, in place of `etcd_root_password`."""
    max_files: int = Field(default=PackageLimits.max_files, ge=1, le=100_000)
    max_file_bytes: int = Field(default=PackageLimits.max_file_bytes, ge=1)
    max_package_bytes: int = Field(default=PackageLimits.max_package_bytes, ge=1)
    max_concurrent_pushes: int = Field(default=4, ge=1, le=100)
    """Uploads at once; more are told to come back."""
    max_concurrent_inspections: int = Field(default=InspectionLimits.concurrent, ge=1, le=100)
    """Checks of uploaded models at once; more wait."""
    inspection_timeout_s: float = Field(default=InspectionLimits.timeout_s, gt=0, le=3600)
    inspection_memory_bytes: int = Field(default=InspectionLimits.memory_bytes, ge=_GIB)
    """Address space, in bytes, of the process that inspects an uploaded model."""
    triton_backend: TritonBackend = "python"
    """How the inference replicas run models; set it as theirs is, since a push refuses what they could not load."""
    republish_interval_s: float = Field(default=5.0, gt=0, le=3600)
    """How often etcd is compared with the database. As long as a lease, so that a wiped etcd gets all back together."""

    rollout_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often rollouts are looked after."""
    judge_interval_s: float = Field(default=5.0, gt=0, le=300)
    """How often the answers of a new version are judged. The judge counts on seconds: it tells chance from harm by how
    much intervals differ."""

    @field_validator("workers")
    @classmethod
    def _one_process(cls, workers: int) -> int:
        if workers > 1:
            raise ValueError("must be 1: uploads, and who publishes what to etcd, are known to one process alone")
        return workers

    def read_token(self) -> str:
        """The token; empty when anybody may change anything. Raises FailedPrecondition when its file has none."""
        if self.token is None and self.token_file is None:
            return ""
        return secret("LEPTON_TOKEN", self.token, self.token_file)

    def etcd_login(self) -> EtcdLogin | None:
        """The login, with root's password: only the registry, whose deployments are in etcd, turns logins on there."""
        login = super().etcd_login()
        if login is None or (self.etcd_root_password is None and self.etcd_root_password_file is None):
            return login
        root = secret("LEPTON_ETCD_ROOT_PASSWORD", self.etcd_root_password, self.etcd_root_password_file)
        return replace(login, root_password=root)

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
