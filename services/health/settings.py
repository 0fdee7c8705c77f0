"""Settings of the health service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from lepton_ai.disk import LOW_BYTES
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.mesh.settings import LocalAddress, Port, ServiceSettings


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

    data_dir: Path = Path("health-data")
    """What users said and what was predicted; only one health service may use it."""
    tokens_file: Path | None = None
    """File with named tokens, as the registry has it: what they send is kept under their names."""
    max_prediction_bytes: int = Field(default=512 << 20, ge=1 << 20)
    """Disk that predictions may take which are remembered for feedback; the oldest go first."""
    keep_predictions_s: float = Field(default=30 * 86400.0, gt=0)
    """How long they are remembered at most."""
    max_input_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Disk that inputs may take which packages allow to be kept; the oldest go first, of the model that has most."""
    feedback_per_minute: int = Field(default=600, ge=1)
    """What one source may say in a minute without the token; more counts nowhere, ten times as much is refused."""
    log_files: Mapping[str, Path] = Field(default_factory=dict)
    """Process → its log file, as JSON, of those that tell health nothing themselves, such as triton."""
    max_events: int = Field(default=100_000, ge=100)
    """Events on the time line; the oldest go first."""
    max_log_records: int = Field(default=100_000, ge=100)
    """Log records of all processes; the oldest go first."""
    max_log_templates: int = Field(default=2000, ge=10)
    """Kinds of log records; those that were not met for longest go first."""

    console_port: Port | None = None
    """Port of the web console; 0 takes any free one, unset switches it off."""
    traces_url: str | None = None
    """Page of the trace store or of Jaeger, for instance http://127.0.0.1:16686; the console shows its traces."""

    scrape_interval_s: float = Field(default=5.0, ge=0.1, le=600)
    """How often every process is measured."""
    scrape_timeout_s: float = Field(default=2.0, gt=0, le=60)
    scrape_targets: Mapping[str, tuple[LocalAddress, ...]] = Field(default_factory=dict)
    """Service → addresses of metrics pages besides those of registered processes and etcd, as JSON."""
    max_page_bytes: int = Field(default=8 << 20, ge=1 << 10)
    """A larger metrics page is not read; its process counts as down."""
    max_target_series: int = Field(default=10_000, ge=1)
    """Series of one process; more are refused and counted."""
    max_series: int = Field(default=50_000, ge=1)
    """Series of all processes together."""
    metrics_hours: float = Field(default=6.0, ge=0.1, le=168)
    """How long measurements are kept as they were taken, in memory and on disk."""
    metrics_weeks: float = Field(default=4.0, ge=0, le=520)
    """How long they are kept at one a minute, on disk."""
    max_metrics_bytes: int = Field(default=512 << 20, ge=1 << 20)
    """Disk that measurements may take; the oldest go first."""

    form_frame_ancestors: str = Field(default="'none'", pattern=r"^[^;,\r\n]+$")
    """Which pages may show questionnaires in a frame, as in a Content-Security-Policy: 'self' https://app.example."""

    alert_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often all judges are asked what is wrong."""
    judge_timeout_s: float = Field(default=10.0, gt=0, le=120)
    """What one judge may take; one that takes longer is an alert itself."""
    drift_interval_s: float = Field(default=60.0, gt=0, le=3600)
    """How often inputs and answers of all versions are compared with what they were like before."""
    drift_pending_s: float = Field(default=300.0, ge=0, le=86_400)
    """How long drift must last before it is an alert."""
    receivers_file: Path | None = None
    """YAML file of who is told of alerts; see docs/alerts.md."""
    notify_timeout_s: float = Field(default=10.0, gt=0, le=60)
    """What one attempt to notify may take."""
    group_wait_page_s: float = Field(default=2.0, ge=0, le=60)
    """How long a page waits for others of its group."""
    group_wait_s: float = Field(default=30.0, ge=0, le=3600)
    """How long a ticket does."""
    group_interval_s: float = Field(default=300.0, ge=0, le=86_400)
    """Least time between two notifications of one group."""
    repeat_interval_s: float = Field(default=4 * 3600.0, gt=0, le=30 * 86_400)
    """When what still fires, and nobody has acknowledged, is told again."""
    resolved_wait_s: float = Field(default=60.0, ge=0, le=3600)
    """How long an alert must be over before that is told."""
    max_alerts: int = Field(default=1000, ge=10, le=10_000)
    """Alerts that are not over, at once; more are not taken up."""
    keep_alerts_s: float = Field(default=7 * 86_400.0, gt=0)
    """How long alerts that are over, and what was told of them, are kept."""
    watchdog_url: SecretStr | None = None
    """Who outside is sent a sign of life, and raises the alarm when none comes; unset: nobody."""
    watchdog_interval_s: float = Field(default=60.0, ge=1, le=86_400)
    console_url: str | None = None
    """Where people reach the console, for links in notifications; unset: no links."""

    def tokens(self) -> Tokens:
        """Who may change something and send as much as he likes. Raises FailedPrecondition when a file has no token."""
        return Tokens(self.read_token(), self.tokens_file)

    @field_validator("workers")
    @classmethod
    def _one_process(cls, workers: int) -> int:
        if workers > 1:
            raise ValueError("must be 1: each would probe every model, and callers would hear what only some have seen")
        return workers
