"""What can be set about the trace store, from the environment (LEPTON_TRACES_…)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_MIB = 1024 * 1024


class TraceStoreSettings(BaseSettings):
    """Settings of one trace store process; every bound has a default that suits one laptop."""

    model_config = SettingsConfigDict(env_prefix="LEPTON_TRACES_", frozen=True)

    db: Path
    """The SQLite file; it is made when absent, with -wal and -shm files beside it while the store runs."""
    host: str = "127.0.0.1"
    """Where to listen. Traces are not protected by a password: anything but loopback needs a private network."""
    http_port: int = Field(default=0, ge=0, le=65535)
    """Page, query JSON and OTLP over HTTP; 0 takes any free port."""
    grpc_port: int = Field(default=0, ge=0, le=65535)
    """OTLP over gRPC; 0 takes any free port."""
    otlp_http_port: int | None = Field(default=None, ge=0, le=65535)
    """A second HTTP port, for where OTLP is expected on one of its own (4318); the first one takes OTLP in any case."""
    max_spans: int = Field(default=200_000, ge=1)
    """Spans kept; beyond it the traces that were heard of longest ago go first, each as a whole."""
    max_stored_bytes: int = Field(default=512 * _MIB, ge=_MIB)
    """Bytes of exports kept, in the same way."""
    max_trace_spans: int = Field(default=20_000, ge=1)
    """Spans of one trace; more are rejected, so that one endless trace cannot push out all others."""
    max_span_bytes: int = Field(default=256 * 1024, ge=1024)
    """Size of one span; larger ones are rejected."""
    max_request_bytes: int = Field(default=16 * _MIB, ge=1024)
    """Size of one export request, after decompression."""
    max_queued_spans: int = Field(default=50_000, ge=1)
    """Spans waiting to be written; when full, exporters are told to come back."""
    max_queued_bytes: int = Field(default=64 * _MIB, ge=_MIB)
    """Bytes of exports waiting to be written, in the same way."""
    write_timeout_s: float = Field(default=10.0, gt=0)
    """How long an export waits for its commit before the exporter is told to send it again."""
    drain_s: float = Field(default=5.0, ge=0)
    """How long requests in flight get on SIGTERM."""
