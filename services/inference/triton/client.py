"""The one door to NVIDIA Triton: its gRPC calls, with a deadline each."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.limits import MAX_MESSAGE_BYTES
from services.inference.triton.backend import CONTROL_TIMEOUT_S, LOAD_TIMEOUT_S, Metadata
from services.inference.triton.errors import away, error_from, load_error_from
from services.inference.triton.open_calls import OpenCalls

Response = TypeVar("Response")

_READY_TIMEOUT_S = 1.0
_REGION_TIMEOUT_S = 1.0
_UNHEARD_S = 300.0
"""How long an inference that nobody waits for any more may go on. Only one that hangs takes so long, and by then the
code that heals its model has ended Triton."""
_CLOSE_TIMEOUT_S = 1.0
# Triton is local: reconnecting must not wait for gRPC's default back-off of up to two minutes.
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)
_log = logging.getLogger(__name__)


class Triton:
    """A Triton server at `address`, over one channel. Construct it inside a running event loop; it does no I/O yet."""

    def __init__(
        self,
        address: str,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
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
        self._inferences = OpenCalls()

    async def infer(
        self, request: service_pb2.ModelInferRequest, *, timeout_s: float, metadata: Metadata = ()
    ) -> service_pb2.ModelInferResponse:
        """Run one batch. The call to Triton goes on when the caller is cancelled or out of time: see `OpenCalls`."""
        call = self._stub.ModelInfer(request, timeout=timeout_s + _UNHEARD_S, metadata=tuple(metadata) or None)
        return await self._inferences.answer(_call(call), timeout_s=timeout_s)

    async def ready(self) -> bool:
        call = self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=_READY_TIMEOUT_S)
        try:
            return bool((await _call(call)).ready)
        except LeptonError:
            return False

    async def load(self, name: str, *, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        try:
            await self._stub.RepositoryModelLoad(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise load_error_from(error) from error

    async def unload(self, name: str, *, timeout_s: float = CONTROL_TIMEOUT_S) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        await _call(self._stub.RepositoryModelUnload(request, timeout=timeout_s))

    async def index(self) -> Mapping[str, str]:
        response = await _call(
            self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=CONTROL_TIMEOUT_S)
        )
        return {model.name: model.state for model in response.models}

    async def metadata(self, name: str) -> service_pb2.ModelMetadataResponse:
        request = service_pb2.ModelMetadataRequest(name=name)
        return await _call(self._stub.ModelMetadata(request, timeout=CONTROL_TIMEOUT_S))

    async def statistics(self, name: str = "") -> Sequence[service_pb2.ModelStatistics]:
        request = service_pb2.ModelStatisticsRequest(name=name)
        response = await _call(self._stub.ModelStatistics(request, timeout=CONTROL_TIMEOUT_S))
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
        """Wait a moment for inferences that nobody waits for any more, then close the channel: it cancels the rest."""
        if not await self._inferences.all_answered(timeout_s=_CLOSE_TIMEOUT_S):
            _log.warning("Triton has not answered %d calls; they are cancelled", len(self._inferences))
        await self._channel.close()


async def _call(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise error_from(error) from error
    except asyncio.InvalidStateError as error:  # grpc.aio: the channel was closed under the call
        raise away() from error
