"""The seam to an inference server: what Lepton needs of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tritonclient.grpc import service_pb2

READY = "READY"
"""The state of a loaded model in the repository index."""
UNAVAILABLE = "UNAVAILABLE"
"""The state of one of which nothing is left; until then it is UNLOADING."""

Metadata = Sequence[tuple[str, str]]

CONTROL_TIMEOUT_S = 5.0
LOAD_TIMEOUT_S = 120.0


class InferenceBackend(Protocol):
    """What Lepton needs of an inference server. `Triton` is the real one, `lepton_ai.testing.FakeTriton` the fake.

    Every method raises Unavailable with reason TRITON_AWAY when the server does not answer and DeadlineExceeded when
    it does not answer in time.
    """

    async def infer(
        self, request: service_pb2.ModelInferRequest, *, timeout_s: float, metadata: Metadata = ()
    ) -> service_pb2.ModelInferResponse:
        """Run one batch. Raises InvalidInput (TRITON_REJECTED), Unavailable (MODEL_NOT_LOADED, STUB_DEAD),
        InternalError (MODEL_FAILED). The server goes on with a batch whose caller gives up or runs out of time."""

    async def ready(self) -> bool:
        """Whether the server answers and is ready. Never raises."""

    async def load(self, name: str, *, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        """Load a model of the repository, and wait. Raises InternalError (LOAD_FAILED)."""

    async def unload(self, name: str, *, timeout_s: float = CONTROL_TIMEOUT_S) -> None:
        """Unload a model. Unknown names are not an error."""

    async def index(self) -> Mapping[str, str]:
        """All models that the server knows: name → READY, LOADING, UNLOADING or UNAVAILABLE."""

    async def metadata(self, name: str) -> service_pb2.ModelMetadataResponse:
        """Inputs and outputs of a loaded model. Raises Unavailable (MODEL_NOT_LOADED)."""

    async def statistics(self, name: str = "") -> Sequence[service_pb2.ModelStatistics]:
        """Counters of one model, or of all. Raises Unavailable (MODEL_NOT_LOADED)."""

    async def version(self) -> tuple[int, ...]:
        """The server's version number."""

    async def register_region(self, name: str, size_bytes: int) -> None:
        """Make POSIX shared memory of this name and size readable for requests. Raises InternalError if it is not."""

    async def unregister_region(self, name: str) -> None:
        """Forget a region; unknown ones are not an error. Raises InternalError while a request may still read it."""

    async def regions(self) -> Sequence[str]:
        """Names of all registered regions."""

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
