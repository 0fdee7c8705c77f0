"""Settings that all services share, read once from environment variables that start with LEPTON_."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lepton_ai.credentials import read_secret
from lepton_ai.errors import FailedPrecondition, FieldViolation, InvalidInput
from lepton_ai.mesh.address import is_address
from lepton_ai.mesh.discovery.login import EtcdLogin
from lepton_ai.mesh.limits import DEFAULT_TIMEOUT_S, MAX_MESSAGE_BYTES, MAX_STREAMS_PER_CONNECTION

MIB = 1 << 20
_MOST = 2**31 - 1
"""What gRPC and Envoy can count to."""
_MOST_BYTES = 1 << 50
"""More than any machine has, and little enough to be added up in 64 bits."""
_UNIX = "unix:"


def _check_address(value: str) -> str:
    if not is_address(value):
        raise ValueError("must be HOST:PORT, for instance 127.0.0.1:2379")
    return value


def _check_local_address(value: str) -> str:
    if value.startswith(_UNIX):
        if not value.removeprefix(_UNIX).startswith("/"):
            raise ValueError("must be unix:PATH with an absolute path, or HOST:PORT")
        return value
    return _check_address(value)


Address = Annotated[str, AfterValidator(_check_address)]
LocalAddress = Annotated[str, AfterValidator(_check_local_address)]
"""HOST:PORT, or `unix:/PATH` of a socket on this machine."""
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Worker(BaseModel, frozen=True):
    """One of several processes that share a port."""

    number: int
    """From 1 on; whoever takes the place of one that has ended has the same."""
    port: Port
    """Its own port, at which it is known in discovery."""
    parent: int
    """Process id of its parent, with which it ends."""


class ServiceSettings(BaseSettings):
    """Settings that every service has. Services subclass it; a process reads it with `load()`."""

    model_config = SettingsConfigDict(env_prefix="LEPTON_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    """Interface to listen on; 0.0.0.0 for all."""
    port: Port = 0
    """Port to listen on; 0 takes any free one."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the port; each is an endpoint of its own in discovery."""
    worker_port: Port = 0
    """The port of its own that the first of several workers has, the next one has the next; 0 takes any free ones."""
    worker: Worker | None = None
    """What their parent tells each of several workers."""
    advertise_address: str | None = None
    """How others reach this process: HOST or HOST:PORT. By default `host`, or where that means all interfaces, this
    machine's address."""
    etcd_address: LocalAddress = "127.0.0.1:2379"
    etcd_user: str | None = None
    """User to log in to etcd as, where etcd requires a login."""
    etcd_password: SecretStr | None = None
    etcd_password_file: Path | None = None
    """File with the password, in place of `etcd_password`."""
    token: SecretStr | None = None
    """The platform's token: this process shows it to others, and callers show it who change something here."""
    token_file: Path | None = None
    """File with the token, in place of `token`."""
    otlp_endpoint: Address | None = None
    """Where spans go, OTLP over gRPC, for instance 127.0.0.1:4317. Unset: no spans."""
    trace_ratio: float = Field(default=0.01, ge=0, le=1, allow_inf_nan=False)
    """Share of the calls that is traced among those that arrive without a decision made upstream."""
    metrics_port: Port | None = None
    """Port of the Prometheus page, of several workers the first one's, the next one has the next; 0 takes any free one,
    unset switches it off."""
    max_message_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=1024, le=2**31 - 1)
    max_concurrent_streams: int = Field(default=MAX_STREAMS_PER_CONNECTION, ge=1)
    """Calls at once on one connection, answered ones included until gRPC has cleared them away."""
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

    @field_validator("*")
    @classmethod
    def _not_endless(cls, value: object, info: ValidationInfo) -> object:
        """Whole numbers in all settings: one that fits no machine's integers would end the process without a word."""
        most = _MOST_BYTES if str(info.field_name).endswith("_bytes") else _MOST
        if isinstance(value, int) and value > most:
            raise ValueError(f"must be at most {most}")
        return value

    @property
    def ports(self) -> tuple[int, ...]:
        """Where to listen: a worker at the port that it shares and at its own."""
        return (self.port,) if self.worker is None else (self.port, self.worker.port)

    def etcd_login(self) -> EtcdLogin | None:
        """The login for etcd; None without a user. Raises FailedPrecondition for a user without a password."""
        if self.etcd_user is None:
            return None
        return EtcdLogin(self.etcd_user, secret("LEPTON_ETCD_PASSWORD", self.etcd_password, self.etcd_password_file))

    def read_token(self) -> str:
        """The platform's token; empty when none is set. Raises FailedPrecondition when its file has none."""
        if self.token is None and self.token_file is None:
            return ""
        return secret("LEPTON_TOKEN", self.token, self.token_file)

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises an InvalidInput that names each wrong variable and its allowed values."""
        try:
            return cls()
        except ValidationError as invalid:
            raise _explain(cls, invalid) from None


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of a port, with absolute paths."""

    cert: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def check(cls, cert: Path, key: Path, client_ca: Path | None) -> Self:
        """Raises FailedPrecondition for a file that cannot be read."""
        for name, path in (("CERT", cert), ("KEY", key), ("CLIENT_CA", client_ca)):
            if path is not None and not os.access(path, os.R_OK):
                raise FailedPrecondition(
                    f"The file of LEPTON_TLS_{name}_FILE cannot be read.", reason="TLS", fix="Name a PEM file."
                )
        return cls(cert.absolute(), key.absolute(), client_ca.absolute() if client_ca is not None else None)


class PublicSettings(ServiceSettings):
    """Settings of a service whose port is called from outside of the platform, as often as its callers like."""

    transport: Literal["auto", "grpc", "pyvoy"] = "auto"
    """How calls come in: by grpc.aio, or by Envoy with this service inside it (pyvoy), which costs a fraction of it;
    "auto" is pyvoy where this Python can be embedded."""
    tls_cert_file: Path | None = None
    """PEM file with the certificate of this port and those above it; unset: no TLS."""
    tls_key_file: Path | None = None
    """PEM file with its private key."""
    tls_client_ca_file: Path | None = None
    """PEM file with the authorities whose certificates clients must show; unset: they need none."""

    def tls(self) -> TlsFiles | None:
        """The port's TLS; None without. Raises FailedPrecondition when a part is missing or cannot be read."""
        if self.tls_cert_file is None and self.tls_key_file is None and self.tls_client_ca_file is None:
            return None
        if self.tls_cert_file is None or self.tls_key_file is None:
            raise FailedPrecondition(
                "TLS needs both LEPTON_TLS_CERT_FILE and LEPTON_TLS_KEY_FILE.",
                reason="TLS",
                fix="Set both, or neither.",
            )
        return TlsFiles.check(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)


def secret(name: str, value: SecretStr | None, file: Path | None) -> str:
    """A secret, from the setting itself or from the file. Raises FailedPrecondition when neither gives one."""
    found = read_secret(name, value.get_secret_value() if value is not None else "", file)
    if not found:
        raise FailedPrecondition(f"Neither {name} nor {name}_FILE is set.", reason="NO_SECRET", fix="Set one of them.")
    return found


def _explain(settings: type[ServiceSettings], invalid: ValidationError) -> InvalidInput:
    """The error for invalid settings. It leaves out their values: a setting may be a secret."""
    prefix = settings.model_config["env_prefix"]
    violations = tuple(
        FieldViolation(f"{prefix}{'_'.join(str(part) for part in each['loc'])}".upper(), each["msg"])
        for each in invalid.errors(include_url=False, include_input=False, include_context=False)
    )
    text = "; ".join(f"{each.field}: {each.description}" for each in violations)
    return InvalidInput(
        f"The settings are wrong. {text}", fix="Correct these environment variables.", fields=violations
    )
