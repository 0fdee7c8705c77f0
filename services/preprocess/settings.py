"""Settings of the preprocess service."""

from __future__ import annotations

from pydantic import Field

from lepton_ai.mesh.settings import MIB, ServiceSettings
from lepton_ai.pipeline.values import LimitSettings


class PreprocessSettings(LimitSettings, ServiceSettings):
    """Settings of the preprocess service; each is an environment variable LEPTON_<NAME>."""

    threads: int = Field(default=0, ge=0, le=1024)
    """Threads that run pipelines; 0: one for every core that this process may use."""
    max_batch_items: int = Field(default=1024, ge=1)
    """Items in one message."""
    max_queue_items: int = Field(default=2048, ge=1)
    """Items that wait for a worker, all callers together; more are refused with RESOURCE_EXHAUSTED."""
    max_queue_bytes: int = Field(default=512 * MIB, ge=1)
    """Raw inputs that wait for a worker, all callers together."""
    max_pipelines: int = Field(default=256, ge=1)
    """Pipelines kept loaded for all callers, and pipelines that one stream may define."""
    max_pipelines_bytes: int = Field(default=256 * MIB, ge=1)
    """Bytes of the documents and files of those pipelines."""
    shared_memory_bytes: int = Field(default=64 * MIB, ge=0)
    """Memory of each worker for tensors that clients on this host take out of it; 0: none."""
