"""Settings that all services share, read once from environment variables that start with LEPTON_."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lepton_ai.errors import FieldViolation, InvalidInput
from lepton_ai.mesh.address import is_address
from lepton_ai.mesh.limits import DEFAULT_TIMEOUT_S, MAX_MESSAGE_BYTES

MIB = 1 << 20


def _check_address(value: str) -> str:
    if not is_address(value):
        raise ValueError("must be HOST:PORT, for instance 127.0.0.1:2379")
    return value


Address = Annotated[str, AfterValidator(_check_address)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(BaseSettings):
    """What every service can be told. Services subclass it; `load()` is how a process reads it."""

    model_config = SettingsConfigDict(env_prefix="LEPTON_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    """Interface to listen on; 0.0.0.0 for all."""
    port: Port = 0
    """Port to listen on; 0 takes any free one."""
    advertise_address: str | None = None
    """How others reach this process: HOST or HOST:PORT. By default what `host` says, or this machine's address."""
    etcd_address: Address = "127.0.0.1:2379"
    otlp_endpoint: Address | None = None
    """Where spans go, OTLP over gRPC, for instance 127.0.0.1:4317. Unset: no spans."""
    trace_ratio: float = Field(default=0.01, ge=0, le=1, allow_inf_nan=False)
    """Share of the calls that is traced among those that arrive without a decision made upstream."""
    metrics_port: Port | None = None
    """Port of the Prometheus page; 0 takes any free one, unset switches it off."""
    max_message_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=2**31 - 1)
    max_concurrent_streams: int = Field(default=100, ge=1)
    """Calls at once on one connection; more wait in the client."""
    max_concurrent_rpcs: int = Field(default=1000, ge=1)
    """Calls at once in this process; more are refused with RESOURCE_EXHAUSTED. Health checks do not count."""
    drain_s: Seconds = 10.0
    """Time for calls in flight to finish after SIGTERM."""
    propagation_s: Seconds = 0.5
    """Time between leaving discovery and refusing calls, so that everybody has heard of it."""
    default_timeout_s: float = Field(default=DEFAULT_TIMEOUT_S, gt=0, le=3600, allow_inf_nan=False)
    """Deadline of unary calls that arrive without one."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises InvalidInput that names each wrong variable and what it may be."""
        try:
            return cls()
        except ValidationError as invalid:
            raise _explain(cls, invalid) from None


def _explain(settings: type[ServiceSettings], invalid: ValidationError) -> InvalidInput:
    """Values are left out: a setting may be a secret."""
    prefix = settings.model_config["env_prefix"]
    violations = tuple(
        FieldViolation(f"{prefix}{'_'.join(str(part) for part in each['loc'])}".upper(), each["msg"])
        for each in invalid.errors(include_url=False, include_input=False, include_context=False)
    )
    text = "; ".join(f"{each.field}: {each.description}" for each in violations)
    return InvalidInput(
        f"The settings are wrong. {text}", fix="Correct these environment variables.", fields=violations
    )
