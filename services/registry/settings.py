"""Settings of the registry, read from environment variables that start with LEPTON_."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from lepton_ai.errors import FailedPrecondition
from lepton_ai.inspection.signature import TritonBackend
from lepton_ai.mesh.discovery.login import EtcdLogin
from lepton_ai.mesh.serving.advertised import is_loopback
from lepton_ai.mesh.serving.tokens import Tokens, read_tokens
from lepton_ai.mesh.settings import ServiceSettings, secret
from lepton_ai.package import PackageLimits
from lepton_ai.signing.settings import SignatureSettings
from services.registry.inspection.inspection import DryRunPolicy, InspectionLimits
from services.registry.rollouts.prometheus import Prometheus
from services.registry.storage.kept_uploads import KeepLimits
from services.registry.webhooks.addresses import Reach

_GIB = 1 << 30


class RegistrySettings(SignatureSettings, ServiceSettings):
    """Settings of the registry, beside those that every service has."""

    data_dir: Path = Path("registry-data")
    """Uploads, and the database and the files of versions where they have no place of their own; for one registry."""
    database_url: SecretStr | None = None
    """postgresql://USER:PASSWORD@HOST:PORT/DATABASE of the database; unset: SQLite in `data_dir`."""
    database_url_file: Path | None = None
    """File with it, in place of `database_url`."""
    blobs_url: str = ""
    """Where files of versions are kept: a directory, or s3://BUCKET/PREFIX; unset: `blobs` in `data_dir`."""
    tokens_file: Path | None = None
    """File with the names and the hashes of further tokens: whoever shows one stands by name in the audit trail."""
    etcd_root_password: SecretStr | None = None
    """Password of etcd's root, where etcd is Lepton's own: with it the registry makes an open etcd require logins."""
    etcd_root_password_file: Path | None = None
    """File with root's password, in place of `etcd_root_password`."""
    max_files: int = Field(default=PackageLimits.max_files, ge=1, le=100_000)
    max_file_bytes: int = Field(default=PackageLimits.max_file_bytes, ge=1)
    max_package_bytes: int = Field(default=PackageLimits.max_package_bytes, ge=1)
    max_concurrent_pushes: int = Field(default=4, ge=1, le=100)
    """Uploads at once; more are told to come back."""
    keep_uploads_s: float = Field(default=KeepLimits.age_s, ge=0)
    """How long what has arrived of a push that broke off is kept for the next one."""
    keep_uploads_bytes: int = Field(default=KeepLimits.total_bytes, ge=0)
    """How much of it is kept, all pushes together."""
    delete_after_s: float = Field(default=3600.0, ge=0)
    """How long the files of a deleted version stay for those who are about to fetch them."""
    max_concurrent_inspections: int = Field(default=InspectionLimits.concurrent, ge=1, le=100)
    """Checks of uploaded models at once; more wait."""
    inspection_timeout_s: float = Field(default=InspectionLimits.timeout_s, gt=0, le=3600)
    inspection_memory_bytes: int = Field(default=InspectionLimits.memory_bytes, ge=_GIB)
    """Address space, in bytes, of the process that inspects an uploaded model."""
    dry_run: DryRunPolicy = "when_possible"
    """Whether a model must answer its golden samples before it is a version: `required` refuses what cannot be tried
    here, as its runtime is missing or it is too large; `when_possible` says so and goes on."""
    triton_backend: TritonBackend = "python"
    """How the inference replicas run models; set it as theirs is, since a push refuses what they could not load."""
    webhook_private: bool = False
    """Whether webhooks may go to private networks, and without TLS."""
    republish_interval_s: float = Field(default=5.0, gt=0, le=3600)
    """How often etcd is compared with the database. As long as a lease, so that a wiped etcd gets all back together."""

    rollout_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often rollouts are looked after."""
    judge_interval_s: float = Field(default=5.0, gt=0, le=300)
    """How often the answers of a new version are judged. The judge counts on seconds: it tells chance from harm by how
    much intervals differ."""

    prometheus_url: SecretStr | None = None
    """Where conditions of rollouts on metrics are asked, with name and password in it if it wants them; health is asked
    where none is said."""

    @field_validator("prometheus_url")
    @classmethod
    def _is_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in ("http", "https"):
            raise ValueError("must begin with http:// or https://")
        return url

    @field_validator("workers")
    @classmethod
    def _one_process(cls, workers: int) -> int:
        if workers > 1:
            raise ValueError("must be 1: uploads, and who publishes what to etcd, are known to one process alone")
        return workers

    def read_database_url(self) -> str:
        """Where PostgreSQL is; empty for SQLite. Raises FailedPrecondition for a file that does not say it."""
        if self.database_url is None and self.database_url_file is None:
            return ""
        url = secret("LEPTON_DATABASE_URL", self.database_url, self.database_url_file)
        if urlsplit(url).scheme not in ("postgresql", "postgres"):
            raise FailedPrecondition(
                "LEPTON_DATABASE_URL does not begin with postgresql://.",
                reason="DATABASE_URL",
                fix="Name a PostgreSQL, or unset it for a database in LEPTON_DATA_DIR.",
            )
        return url

    def prometheus(self) -> Prometheus | None:
        """The Prometheus to ask."""
        return None if self.prometheus_url is None else Prometheus(self.prometheus_url.get_secret_value())

    def tokens(self) -> Tokens:
        """The tokens that count. Raises FailedPrecondition when a file has none, or something else."""
        if self.tokens_file is not None:
            read_tokens(self.tokens_file)
        return Tokens(self.read_token(), self.tokens_file)

    @property
    def webhook_reach(self) -> Reach:
        """Where webhooks may go: to this machine only from a registry that no other machine reaches."""
        return Reach(loopback=is_loopback(self.host), private=self.webhook_private)

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
    def keep_limits(self) -> KeepLimits:
        """How long, and how much of uploads that broke off is kept."""
        return KeepLimits(self.keep_uploads_s, self.keep_uploads_bytes)

    @property
    def inspection_limits(self) -> InspectionLimits:
        """What the inspecting process may use."""
        return InspectionLimits(
            timeout_s=self.inspection_timeout_s,
            memory_bytes=self.inspection_memory_bytes,
            concurrent=self.max_concurrent_inspections,
        )
