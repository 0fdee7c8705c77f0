"""Settings of the preprocess service."""

from __future__ import annotations

from pydantic import Field

from lepton_ai.mesh.settings import MIB, ServiceSettings
from lepton_ai.pipeline import Limits

# Pillow refuses by itself what is larger, with a warning first; our own limit has to be the one that decides.
_PILLOW_MAX_PIXELS = 89_000_000


class PreprocessSettings(ServiceSettings):
    """Settings of the preprocess service; each is an environment variable LEPTON_<NAME>."""

    workers: int = Field(default=0, ge=0, le=1024)
    """Threads that run pipelines; 0: one for every core that this process may use."""
    max_item_bytes: int = Field(default=Limits.max_item_bytes, ge=1)
    """All raw inputs of one item together."""
    max_output_bytes: int = Field(default=Limits.max_output_bytes, ge=1)
    """All tensors of one item together. Results must fit into a message, see max_message_bytes."""
    max_pixels: int = Field(default=Limits.max_pixels, ge=1, le=_PILLOW_MAX_PIXELS)
    max_side_pixels: int = Field(default=Limits.max_side_pixels, ge=1, le=65_535)
    max_seconds: float = Field(default=Limits.max_seconds, gt=0)
    """How long a sound may be, as its header declares it and at every step."""
    max_samples: int = Field(default=Limits.max_samples, ge=1)
    """Samples of a sound, in all its channels together."""
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

    @property
    def limits(self) -> Limits:
        """What one item may ask for."""
        return Limits(
            max_item_bytes=self.max_item_bytes,
            max_output_bytes=self.max_output_bytes,
            max_pixels=self.max_pixels,
            max_side_pixels=self.max_side_pixels,
            max_seconds=self.max_seconds,
            max_samples=self.max_samples,
        )
