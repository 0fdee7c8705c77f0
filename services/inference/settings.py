"""Settings of the inference service, read from environment variables that start with LEPTON_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from lepton_ai.mesh.settings import MIB, Address, LocalAddress, PublicSettings, Seconds
from lepton_ai.pipeline.values import LimitSettings
from lepton_ai.signing.settings import SignatureSettings
from services.inference.paths.path import Path as ItemPath
from services.inference.triton.repository import DEFAULT_BACKEND, DEFAULT_DEVICE, TritonBackend, TritonDevice


class InferenceSettings(LimitSettings, SignatureSettings, PublicSettings):
    """Settings of one inference replica and the Triton that it owns."""

    triton_address: LocalAddress = "127.0.0.1:8001"
    """gRPC address of this replica's own Triton; `unix:/PATH` for a socket, which must be closed to other users."""
    triton_metrics_address: Address | None = None
    """HOST:PORT of its metrics page, told to whoever collects them; unset: it has none, or nobody is told."""
    model_repository: Path = Path("model-repository")
    """Directory that Triton reads models from; this service writes it and both must see the same files."""
    cache_dir: Path = Path("cache")
    """A directory of this replica's own, for model packages and for what it must remember over restarts."""
    triton_backend: TritonBackend = DEFAULT_BACKEND
    """How models run: in Lepton's runner in Triton's Python backend, or in Triton's own ("native") backends."""
    triton_device: TritonDevice = DEFAULT_DEVICE
    """Where Triton's own backends compute; "gpu" runs one copy of a model whose package does not say how many."""
    triton_pid_file: Path | None = None
    """File with Triton's process id, for this service to end a Triton that hangs; its supervisor restarts it."""
    triton_shared_memory_bytes: int = Field(default=32 * MIB, ge=0)
    """Memory shared with a Triton at a socket or a loopback address, for inputs of batches; 0: none."""
    path: ItemPath | None = None
    """"fused" runs pipelines beside their models, "remote" in the preprocess service; unset: what measures better."""
    wide_model_bytes: int = Field(default=128 * MIB, ge=0)
    """Models up to this size get a second copy that runs on all cores, for a caller that has the machine to itself."""
    max_queue_rows: int = Field(default=1024, ge=1)
    """Rows of one model version on their way at once, at most: usually fewer are let in, as many as keep its instances
    busy for some batches. More are refused with RESOURCE_EXHAUSTED. Bulk calls get half."""
    max_queue_bytes: int = Field(default=256 * MIB, ge=1)
    """Their bytes, likewise."""
    max_items: int = Field(default=1024, ge=1)
    """Items or rows in one call."""
    max_preprocess_items: int = Field(default=1024, ge=1)
    """Items on their way through preprocessing at once; more are refused with RESOURCE_EXHAUSTED."""
    max_preprocess_bytes: int = Field(default=256 * MIB, ge=1)
    """Raw bytes on their way through preprocessing at once."""
    max_stream_messages: int = Field(default=256, ge=1)
    """Requests of one stream (PredictStream, ModelStreamInfer) that are worked on, or answered and not yet read by the
    client; its further ones wait in the connection."""
    max_stream_rows: int = Field(default=256, ge=1)
    """Rows of all streams together that are worked on at once, so that they leave room for other calls."""
    cache_max_bytes: int = Field(default=256 * MIB, ge=0)
    """Memory of this process for answers and tensors of models whose packages allow a cache; 0: none is kept."""
    cache_url: SecretStr | None = None
    """Redis or Valkey in which replicas share what they keep: redis://, rediss:// or unix://, with user and password
    where needed."""
    variant_idle_s: Seconds = 600.0
    """How long a variant of a version stays loaded that no call has asked for."""
    ready_after_s: Seconds = 10.0
    """How long to wait for all that is deployed to serve; then the service is ready anyway, as etcd may be away."""
