"""The one door to NVIDIA Triton: its gRPC calls with a deadline each, and its errors as errors of Lepton."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    LeptonError,
    ResourceExhausted,
    Unavailable,
)

TRITON_AWAY = "TRITON_AWAY"
"""Triton does not answer at all."""
MODEL_NOT_LOADED = "MODEL_NOT_LOADED"
"""Triton answers, but does not have this model ready."""
STUB_DEAD = "STUB_DEAD"
"""The process that runs the model is gone though Triton still lists the model as ready."""
MODEL_FAILED = "MODEL_FAILED"
"""The model itself failed on this input."""
LOAD_FAILED = "LOAD_FAILED"
"""Triton could not load the model; the message says why as far as it may be shown."""
TRITON_REJECTED = "TRITON_REJECTED"
"""Triton found the request invalid."""

REGION_LOST = "REGION_LOST"
"""Triton does not know the shared memory that holds the input; it has not begun with the request."""

READY = "READY"
"""The state of a loaded model in the repository index."""

Metadata = Sequence[tuple[str, str]]
Response = TypeVar("Response")

_CONTROL_TIMEOUT_S = 5.0
_READY_TIMEOUT_S = 1.0
_LOAD_TIMEOUT_S = 120.0
_REGION_TIMEOUT_S = 1.0
_RETRY_AFTER_S = 1.0
# Triton is local: reconnecting must not wait for gRPC's default back-off of up to two minutes.
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)


class InferenceBackend(Protocol):
    """What Lepton needs of an inference server. `Triton` is the real one, `lepton_ai.testing.FakeTriton` the fake.

    Every method raises Unavailable with reason TRITON_AWAY when the server does not answer and DeadlineExceeded when
    it does not answer in time.
    """

    async def infer(
        self, request: service_pb2.ModelInferRequest, *, timeout_s: float, metadata: Metadata = ()
    ) -> service_pb2.ModelInferResponse:
        """Run one batch. Raises InvalidInput (TRITON_REJECTED), Unavailable (MODEL_NOT_LOADED, STUB_DEAD),
        InternalError (MODEL_FAILED)."""

    async def ready(self) -> bool:
        """Whether the server answers and is ready. Never raises."""

    async def load(self, name: str, *, timeout_s: float = _LOAD_TIMEOUT_S) -> None:
        """Load a model of the repository, and wait. Raises InternalError (LOAD_FAILED)."""

    async def unload(self, name: str, *, timeout_s: float = _CONTROL_TIMEOUT_S) -> None:
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


class Triton:
    """A Triton server at `address`, over one channel. Construct it inside a running event loop; it does no I/O yet."""

    def __init__(
        self,
        address: str,
        *,
        max_message_bytes: int = 64 << 20,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self.address = address
        options = (
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            *_CHANNEL_OPTIONS,
        )
        self._channel = grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def infer(
        self, request: service_pb2.ModelInferRequest, *, timeout_s: float, metadata: Metadata = ()
    ) -> service_pb2.ModelInferResponse:
        # Triton drops requests whose own timeout has passed while they wait in its queue.
        request.parameters["timeout"].int64_param = max(1, int(timeout_s * 1e6))
        return await _call(self._stub.ModelInfer(request, timeout=timeout_s, metadata=tuple(metadata) or None))

    async def ready(self) -> bool:
        call = self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=_READY_TIMEOUT_S)
        try:
            return bool((await _call(call)).ready)
        except LeptonError:
            return False

    async def load(self, name: str, *, timeout_s: float = _LOAD_TIMEOUT_S) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        try:
            await self._stub.RepositoryModelLoad(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise load_error_from(error) from error

    async def unload(self, name: str, *, timeout_s: float = _CONTROL_TIMEOUT_S) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        await _call(self._stub.RepositoryModelUnload(request, timeout=timeout_s))

    async def index(self) -> Mapping[str, str]:
        response = await _call(
            self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=_CONTROL_TIMEOUT_S)
        )
        return {model.name: model.state for model in response.models}

    async def metadata(self, name: str) -> service_pb2.ModelMetadataResponse:
        request = service_pb2.ModelMetadataRequest(name=name)
        return await _call(self._stub.ModelMetadata(request, timeout=_CONTROL_TIMEOUT_S))

    async def statistics(self, name: str = "") -> Sequence[service_pb2.ModelStatistics]:
        request = service_pb2.ModelStatisticsRequest(name=name)
        response = await _call(self._stub.ModelStatistics(request, timeout=_CONTROL_TIMEOUT_S))
        return list(response.model_stats)

    async def version(self) -> tuple[int, ...]:
        request = service_pb2.ServerMetadataRequest()
        text = (await _call(self._stub.ServerMetadata(request, timeout=_REGION_TIMEOUT_S))).version
        return tuple(int(number) for number in re.findall(r"\d+", text)[:3])

    async def register_region(self, name: str, size_bytes: int) -> None:
        request = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", byte_size=size_bytes)
        await _call(self._stub.SystemSharedMemoryRegister(request, timeout=_REGION_TIMEOUT_S))

    async def unregister_region(self, name: str) -> None:
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        await _call(self._stub.SystemSharedMemoryUnregister(request, timeout=_REGION_TIMEOUT_S))

    async def regions(self) -> Sequence[str]:
        request = service_pb2.SystemSharedMemoryStatusRequest()
        return list((await _call(self._stub.SystemSharedMemoryStatus(request, timeout=_REGION_TIMEOUT_S))).regions)

    async def close(self) -> None:
        await self._channel.close()


async def _call(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise error_from(error) from error
    except asyncio.InvalidStateError as error:  # grpc.aio: the channel was closed under the call
        raise _away() from error


def error_from(error: grpc.aio.AioRpcError) -> LeptonError:
    """The Lepton error that says the same as an error of Triton's, without its internal names and paths."""
    code, text = error.code(), error.details() or ""
    if _DEAD_STUB.search(text):
        return Unavailable(
            "The process that runs this model has died.",
            reason=STUB_DEAD,
            fix="It is being restarted; try again in a moment.",
            retry_after_s=_RETRY_AFTER_S,
        )
    if _REGION_UNKNOWN.search(text):
        return Unavailable("Triton does not know the shared memory.", reason=REGION_LOST, retry_after_s=_RETRY_AFTER_S)
    if _NOT_LOADED.search(text):
        return Unavailable(
            "The model is not loaded.",
            reason=MODEL_NOT_LOADED,
            fix="It is being loaded; try again in a moment.",
            retry_after_s=_RETRY_AFTER_S,
        )
    if code == grpc.StatusCode.UNAVAILABLE:
        return _away()
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("The model did not answer in time.", fix="Allow more time or send smaller batches.")
    if code == grpc.StatusCode.CANCELLED:
        return Cancelled("The call was cancelled.")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ResourceExhausted("Triton is over a limit: the message is too large or its queue is full.")
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInput(_shown(text), reason=TRITON_REJECTED)
    return InternalError(_shown(text), reason=MODEL_FAILED)


def load_error_from(error: grpc.aio.AioRpcError) -> LeptonError:
    """The Lepton error for a load that failed; like `error_from`, but whatever Triton says is about the load."""
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return error_from(error)
    return InternalError(_shown(_LOAD_PREFIX.sub("", error.details() or "")), reason=LOAD_FAILED)


def smells_dead(error: BaseException) -> bool:
    """Whether the data plane should report this error to the reconciler, which then probes the model at once."""
    return isinstance(error, LeptonError) and error.reason in (STUB_DEAD, MODEL_NOT_LOADED)


def _away() -> Unavailable:
    return Unavailable(
        "Triton does not answer.",
        reason=TRITON_AWAY,
        fix="It is restarted when it has died; try again in a moment.",
        retry_after_s=_RETRY_AFTER_S,
    )


_DEAD_STUB = re.compile(r"stub process|is not healthy", re.IGNORECASE)
_NOT_LOADED = re.compile(r"unknown model|no available versions|is not ready", re.IGNORECASE)
_REGION_UNKNOWN = re.compile(r"unable to find (system )?shared memory region", re.IGNORECASE)
_REQUEST_ID = re.compile(r"^\[request id: [^\]]*\]\s*")
_PATH = re.compile(r"(?:^|[\s'\"(=:])/[^\s'\"]+")
_LOAD_PREFIX = re.compile(r"^load failed for model .*? state: \w+: (?:TritonModelException: )?")
_MAX_SHOWN = 500


def _shown(text: str) -> str:
    """What of Triton's text may be shown: its first line, without request ids and file-system paths."""
    line = _REQUEST_ID.sub("", text.strip()).split("\n", 1)[0]
    return _PATH.sub(" …", line)[:_MAX_SHOWN].strip() or "The model failed."
